/** The service that most files share, with one job that is done; started once, before the first file. */
import type { TestProject } from "vitest/node";

import { imagesFolder, SAMPLE } from "./images";
import { Service } from "./service";
import { ended, newJob } from "./jobs";

declare module "vitest" {
  interface ProvidedContext {
    url: string;
    data: string;
    /** A job over the sample `SAMPLE`, done, with all that the pages can show. */
    sampleJob: string;
  }
}

export default async function setup(project: TestProject) {
  const service = await Service.start();
  try {
    const folder = await imagesFolder(service.data, "nuclei", { samples: [SAMPLE] });
    const job = await newJob(service.url, folder, { name: "Sample", segment: { model: "nuclei" } });
    await ended(service.url, job);
    project.provide("url", service.url);
    project.provide("data", service.data);
    project.provide("sampleJob", job);
  } catch (error) {
    await service.stop();
    throw error;
  }
  return () => service.stop();
}
