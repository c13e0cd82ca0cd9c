import { expect, test } from "vitest";

import { costOf, fastestOf, timeOf } from "./estimate";

const span = (low: number, high: number) => ({ low, likely: (low + high) / 2, high });
const size = (workers: number) => ({ workers, seconds: span(1, 2), machine_seconds: span(1, 2), on_demand_usd: null, spot_usd: null });

test("a span is told as two ends, or as one where they read the same", () => {
  expect(timeOf(span(120, 240))).toBe("2 min – 4 min");
  expect(timeOf(span(120, 120))).toBe("2 min");
  expect(costOf(span(0.111, 0.129))).toBe("$0.11 – $0.13");
});

test("what costs next to nothing is not told as nothing", () => {
  expect(costOf(span(0.0001, 0.0002))).toBe("< $0.01");
  expect(costOf(span(0, 0))).toBe("$0.00");
});

test("the fastest number of workers is told only where several help", () => {
  const plan = { sizes: [size(1), size(4)] };
  expect(fastestOf({ ...plan, fastest: 4 } as never)?.workers).toBe(4);
  expect(fastestOf({ ...plan, fastest: 1 } as never)).toBeUndefined();
});

test("a moment is not told as no time", () => {
  expect([timeOf(span(0.1, 0.4)), timeOf(span(0.2, 3)), timeOf(span(1, 1.2))]).toEqual(["under 1 s", "1 s – 3 s", "1 s"]);
});
