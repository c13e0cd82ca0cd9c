/** Which part of the work took which share of the machines. Pure. */
import type { Schemas } from "../../api/client";

export interface Share {
  stage: string;
  /** 0 … 1 */
  part: number;
  colour: string;
}

/** In the order in which an image meets them. */
const COLOURS: Record<string, string> = {
  read: "blue.7", survey: "indigo.5", preprocess: "cyan.5", predict: "sea.8", postprocess: "teal.4", measure: "lime.6", write: "yellow.5",
};
const ORDER = Object.keys(COLOURS);
const LEAST = 0.005;

/** By money where prices are known, else by the time of threads. What is next to nothing is left out. */
export function sharesOf({ stages_usd, lines }: Pick<Schemas["Bill"], "stages_usd" | "lines">): Share[] {
  const priced = lines.every(({ usd }) => usd !== null);
  const amounts = priced ? Object.entries(stages_usd) : lines.flatMap(({ stage_seconds }) => Object.entries(stage_seconds));
  const sums = new Map<string, number>();
  for (const [stage, amount] of amounts) sums.set(stage, (sums.get(stage) ?? 0) + amount);
  const all = [...sums.values()].reduce((sum, amount) => sum + amount, 0);
  return [...sums]
    .map(([stage, amount]) => ({ stage, part: all > 0 ? amount / all : 0, colour: COLOURS[stage] ?? "gray.5" }))
    .filter(({ part }) => part >= LEAST)
    .sort((one, other) => place(one.stage) - place(other.stage));
}

const place = (stage: string) => (stage in COLOURS ? ORDER.indexOf(stage) : ORDER.length);
