/** The models that the service has: what each of them is, and which ones jobs can be made with. */
import { queryOptions } from "@tanstack/react-query";

import { answer, api, type Schemas } from "./client";

export type Model = Schemas["ModelInfo"];

/** By name; of each the newest version first. */
export const models = queryOptions({
  queryKey: ["models"],
  queryFn: () => answer(api.GET("/api/v1/models")),
  staleTime: 60_000,
});

/** With its version, as it can be asked for. */
export const fullName = ({ name, version }: Model) => `${name}:${version}`;

/** Whether a name, with a version or without, means this model. */
export const isCalled = (model: Model, name?: string) => name === model.name || name === fullName(model);

/** Whether a job can be made with it; the others give classes or images. */
export const findsObjects = ({ task }: Model) => task === "segmentation" || task === "workflow";

/** Those that find objects, each in one version: that with the full name `asked`, else the newest. */
export function offered(all: readonly Model[], asked = ""): Model[] {
  const finding = all.filter(findsObjects);
  const one = (name: string) => {
    const versions = finding.filter((model) => model.name === name);
    return versions.find((model) => fullName(model) === asked) ?? versions[0];
  };
  return finding.filter((model) => one(model.name) === model);
}
