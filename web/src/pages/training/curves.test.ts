import { expect, test } from "vitest";

import { lossLine, scoreLines, ticks } from "./curves";
import type { Point } from "./queries";
import { withPoint } from "./useRun";

const point = (step: number, loss: number | null, f1: number | null): Point => ({ step, seconds: step, loss, scores: { f1, ap: 0.5 } });

test("a line leaves out what is no number", () => {
  const points = [point(10, 2, 0.1), point(20, null, null), point(30, 1, 0.3)];
  expect(lossLine(points).points).toEqual([[10, 2], [30, 1]]);
  expect(scoreLines(points).map(({ name, points: line }) => [name, line.length])).toEqual([["f1", 2], ["ap", 3]]);
});

test("an axis has few round numbers and reaches above the highest point", () => {
  for (const highest of [0.003, 0.07, 0.4, 1, 1.01, 3.7, 12, 99, 1234]) {
    const marks = ticks(highest);
    expect(marks[0]).toBe(0);
    expect(marks.at(-1)).toBeGreaterThanOrEqual(highest * 0.999);
    expect(marks.length).toBeGreaterThan(2);
    expect(marks.length).toBeLessThan(7);
  }
  expect(ticks(0)).toEqual([0, 1]);
});

test("a point that is told again takes the place of the first and of what came after it", () => {
  const known = [point(10, 3, 0.1), point(20, 2, 0.2), point(30, 1, 0.3)];
  expect(withPoint(known, point(20, 9, 0.9)).map(({ step, loss }) => [step, loss])).toEqual([[10, 3], [20, 9]]);
});
