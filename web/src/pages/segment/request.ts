/** From the images and settings to the request for a job. */
import type { Schemas } from "../../api/client";
import type { Draft } from "../../uploads/draft";
import type { Facts } from "./facts";
import type { Spec } from "./settings";

type Request = Schemas["JobRequest"];

/** Few images are waited for: they go before long jobs. */
const FEW_IMAGES = 20;
/** As in src/cellfleet/spec/http.py. */
export const MOST_INPUTS = 10_000;

/**
 * The whole set where all of it is meant: folders keep their places, and any number of files is one input. Archives in
 * it are named one by one: those in a folder are passed over by the service.
 */
export function inputsOf({ set, items, partial }: Draft): string[] {
  const covered = new Set(set !== undefined && !partial ? items.filter(({ input, archive }) => !archive && input?.startsWith(`set:${set}/`)) : []);
  const others = items.filter((item) => !covered.has(item)).flatMap(({ input }) => input ?? []);
  return covered.size > 0 ? [`set:${set}`, ...others] : others;
}

export function requestOf(
  draft: Draft, facts: Facts, spec: Spec, { name, formats }: { name: string; formats: Request["formats"] },
): Omit<Request, "key"> & { key: string } {
  return {
    name: name.trim() || draft.name,
    inputs: inputsOf(draft),
    segment: spec,
    formats,
    priority: facts.images <= FEW_IMAGES && !facts.more ? "interactive" : "normal",
    key: "",
  };
}
