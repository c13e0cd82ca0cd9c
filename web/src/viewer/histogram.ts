/** Counts of a column's values in equal bins, and percentiles. Pure functions. */

export interface Histogram {
  low: number;
  high: number;
  counts: number[];
}

/** Return counts of the finite values; undefined where there are none. */
export function histogram(values: ArrayLike<number>, bins = 32): Histogram | undefined {
  let [low, high] = [Infinity, -Infinity];
  let whole = true;
  for (let at = 0; at < values.length; at++) {
    const value = values[at] as number;
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
    whole &&= Number.isInteger(value);
  }
  if (low > high) return undefined;
  if (low === high) high = low + 1;
  const made: Histogram = { low, high, counts: new Array<number>(whole ? Math.min(bins, high - low + 1) : bins).fill(0) };
  for (let at = 0; at < values.length; at++) {
    const bin = binOf(made, values[at] as number);
    if (bin !== undefined) (made.counts[bin] as number) += 1;
  }
  return made;
}

/** Return the bin of a value; undefined for one that is missing. */
export function binOf({ low, high, counts }: Histogram, value: number | undefined): number | undefined {
  if (value === undefined || !Number.isFinite(value) || value < low || value > high) return undefined;
  return Math.min(counts.length - 1, Math.floor(((value - low) / (high - low)) * counts.length));
}

/** Return the values below which these percentages of all finite values lie. */
export function percentiles(values: ArrayLike<number>, percents: number[]): number[] {
  const sorted = Float64Array.from(values).filter(Number.isFinite).sort();
  return percents.map((percent) => {
    const place = (percent / 100) * (sorted.length - 1);
    const [from, to] = [sorted[Math.floor(place)] ?? 0, sorted[Math.ceil(place)] ?? 0];
    return from + (to - from) * (place - Math.floor(place));
  });
}
