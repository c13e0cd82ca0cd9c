import { expect, test } from "vitest";

import { sharesOf } from "./stages";

const line = (usd: number | null, stage_seconds: Record<string, number>) =>
  ({ machine: { name: "m", region: "", spot: false, gpus: 0 }, seconds: 1, gpu_seconds: 0, usd_per_hour: usd, usd, stage_seconds }) as never;

test("stages come in the order in which an image meets them, with their shares of the money", () => {
  const shares = sharesOf({ stages_usd: { write: 1, predict: 2, read: 1 }, lines: [line(4, { predict: 1 })] });
  expect(shares.map(({ stage, part }) => [stage, part])).toEqual([["read", 0.25], ["predict", 0.5], ["write", 0.25]]);
});

test("where a price is not known the time of threads divides, of all machines", () => {
  const lines = [line(1, { predict: 1 }), line(null, { predict: 2, write: 1 })];
  const shares = sharesOf({ stages_usd: { predict: 1 }, lines });
  expect(shares.map(({ stage, part }) => [stage, part])).toEqual([["predict", 0.75], ["write", 0.25]]);
});

test("what is next to nothing is left out, and a stage of a newer service comes last", () => {
  const shares = sharesOf({ stages_usd: { survey: 0.001, stitch: 1, write: 1 }, lines: [line(2.001, { write: 1 })] });
  expect(shares.map(({ stage }) => stage)).toEqual(["write", "stitch"]);
});

test("a job that took nothing has no shares", () => {
  expect(sharesOf({ stages_usd: {}, lines: [] })).toEqual([]);
});
