/** From the points of a run to lines on a chart; knows no picture. */
import type { Point } from "./queries";

export interface Line {
  name: string;
  /** Step and value; what is no number is left out. */
  points: readonly (readonly [step: number, value: number])[];
}

/** The lines of all scores that any point has, in the order in which they are met. */
export function scoreLines(points: readonly Point[]): Line[] {
  const names = [...new Set(points.flatMap(({ scores }) => Object.keys(scores)))];
  return names.map((name) => ({ name, points: numbers(points, ({ scores }) => scores[name]) }));
}

export const lossLine = (points: readonly Point[]): Line => ({ name: "loss", points: numbers(points, ({ loss }) => loss) });

function numbers(points: readonly Point[], value: (point: Point) => number | null | undefined) {
  return points.flatMap((point) => {
    const found = value(point);
    return found === null || found === undefined ? [] : [[point.step, found] as const];
  });
}

/** Round numbers from nothing to `highest` and a little above it, at most five. */
export function ticks(highest: number): number[] {
  if (!(highest > 0)) return [0, 1];
  const power = 10 ** Math.floor(Math.log10(highest));
  const step = ([0.25, 0.5, 1, 2.5, 5].find((factor) => highest / (factor * power) <= 4) ?? 5) * power;
  const count = Math.ceil(highest / step - 1e-9);
  return [...Array(count + 1).keys()].map((n) => Number((n * step).toPrecision(6)));
}
