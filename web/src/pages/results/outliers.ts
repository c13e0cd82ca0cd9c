/** Images that differ from the rest of the job, by the rules of the report. Pure functions. */

export type Flag = "none" | "few" | "many" | "small" | "large";

export interface Measured {
  number: number;
  objects: number;
  /** Pixels of all planes. */
  pixels: number;
  median?: number;
}

/** Below this nobody can say what is usual. */
const LEAST = 5;
const FENCE = 1.5;

/** Return the flags of each image, by its number. */
export function outliers(images: Measured[]): Map<number, Flag[]> {
  const found = new Map<number, Flag[]>();
  const flag = (number: number, flag: Flag) => found.set(number, [...(found.get(number) ?? []), flag]);
  images.filter(({ objects }) => objects === 0).forEach(({ number }) => flag(number, "none"));
  const some = images.filter(({ objects }) => objects > 0);
  if (images.length < LEAST) return found;
  const crowded = odd(some.map(({ objects, pixels }) => objects / (pixels || 1)), 4);
  const sized = some.filter(({ median }) => median);
  const large = odd(sized.map(({ median }) => median ?? 1), 2);
  some.forEach(({ number }, at) => crowded[at] && flag(number, crowded[at] < 0 ? "few" : "many"));
  sized.forEach(({ number }, at) => large[at] && flag(number, large[at] < 0 ? "small" : "large"));
  return found;
}

/** Return −1 or 1 for values that are `times` the median or a part of it, and outside Tukey's fences of the logarithms. */
function odd(values: number[], times: number): number[] {
  const logs = values.map(Math.log);
  const sorted = logs.toSorted((a, b) => a - b);
  const [lower, middle, upper] = [quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75)];
  const reach = FENCE * (upper - lower);
  return logs.map((value) => {
    if (value <= middle - Math.log(times) && value < lower - reach) return -1;
    return value >= middle + Math.log(times) && value > upper + reach ? 1 : 0;
  });
}

function quantile(sorted: number[], share: number): number {
  const place = share * (sorted.length - 1);
  const [from, to] = [sorted[Math.floor(place)] ?? 0, sorted[Math.ceil(place)] ?? 0];
  return from + (to - from) * (place - Math.floor(place));
}
