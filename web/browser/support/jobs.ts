/** Jobs over HTTP, as a script would make them: what the pages then show. */
import type { Job, Schemas } from "../../src/api/client";
import { until } from "./until";

type Request = Schemas["JobRequest"];
export type Given = Partial<Omit<Request, "segment">> & { segment?: Partial<Request["segment"]> };

const ENDED = ["done", "failed", "cancelled"];

/** Ask the service for JSON. */
export async function ask<T>(url: string, path: string, options: RequestInit & { token?: string } = {}): Promise<T> {
  const { token, ...rest } = options;
  const headers: Record<string, string> = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(`${url}/api/v1${path}`, { headers, ...rest });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}

/** Hand in a job over a folder of this machine; return its id. */
export async function newJob(url: string, folder: string, given: Given = {}, token?: string): Promise<string> {
  const body = { inputs: [folder], segment: { model: "otsu" }, formats: ["labels-tiff", "csv", "ome-zarr"], ...given };
  return (await ask<Job>(url, "/jobs", { method: "POST", body: JSON.stringify(body), token })).id;
}

export const job = (url: string, id: string) => ask<Job>(url, `/jobs/${id}`);

/** Wait until a job has ended and is summed up; return it. */
export function ended(url: string, id: string): Promise<Job> {
  return until(`job ${id} ends`, async () => {
    const found = await job(url, id);
    return ENDED.includes(found.state) && found.summarised ? found : undefined;
  });
}

/** The images of a job, at most 1000. */
export const images = async (url: string, id: string) =>
  (await ask<{ images: Schemas["JobImage"][] }>(url, `/jobs/${id}/images?limit=1000`)).images;

/** A result file. */
export async function resultFile(url: string, id: string, path: string): Promise<Buffer> {
  const answer = await fetch(`${url}/api/v1/jobs/${id}/files/${path.split("/").map(encodeURIComponent).join("/")}`);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return Buffer.from(await answer.arrayBuffer());
}
