/** Takes up what the page's address asks for: `?again=JOB` the images and settings of a job, `?model=NAME` a model. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useSearchParams } from "react-router";

import type { Job } from "../../api/client";
import { job as jobQuery } from "../../api/queries";
import { drafts } from "../../uploads/useDraft";
import { change, OFFERED, type Format } from "./settings";

/** Returns why a job could not be taken up; undefined: there is nothing to tell. */
export function useAddressed(): Error | undefined {
  const client = useQueryClient();
  const [parameters, setParameters] = useSearchParams();
  const [problem, setProblem] = useState<Error>();
  const again = parameters.get("again");
  const model = parameters.get("model");
  useEffect(() => {
    if (!again && !model) return;
    setParameters({}, { replace: true });
    if (model) change({ model });
    if (again) {
      // What an earlier load of the page has left must not come back afterwards.
      void Promise.all([client.fetchQuery(jobQuery(again)), drafts.restore()]).then(([job]) => takeUp(job), setProblem);
    }
  }, [again, model, client, setParameters]);
  return problem;
}

export function takeUp({ inputs, segment, formats, model, name }: Job): void {
  drafts.clear(true);
  for (const input of inputs) drafts.addAddress(input, input.startsWith("set:") ? (input.split("/").slice(1).join("/") || name || input) : input);
  const channels = Object.fromEntries((segment.channels ?? []).flatMap(({ role, channels: chosen }) => (role ? [[role, [...chosen]]] : [])));
  change({
    model: model.name,
    channels,
    micronsPerPixel: segment.microns_per_pixel ?? undefined,
    diameter: segment.diameter_px ?? undefined,
    axes: segment.axes ?? undefined,
    compartment: segment.compartment === "both" ? undefined : (segment.compartment ?? undefined),
    formats: OFFERED.filter((one) => (formats as Format[]).includes(one)),
    name,
  });
}
