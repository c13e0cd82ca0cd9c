/** Which objects of two jobs over the same image are the same: by overlap. Pure functions. */

export interface Matched {
  /** Numbers of the first job's objects and of the second's that are the same. */
  pairs: [number, number][];
  /** Only in the first. */
  lost: number[];
  /** Only in the second. */
  added: number[];
}

/** Two objects are the same where they share more than half of what they cover together, so no object has two partners. */
export function match(first: ArrayLike<number>, second: ArrayLike<number>, least = 0.5): Matched {
  const [areas, others] = [new Map<number, number>(), new Map<number, number>()];
  const shared = new Map<number, number>();
  let most = 0;
  for (let at = 0; at < second.length; at++) most = Math.max(most, second[at] as number);
  const count = (counts: Map<number, number>, key: number) => counts.set(key, (counts.get(key) ?? 0) + 1);
  for (let at = 0; at < first.length; at++) {
    const [one, other] = [first[at] as number, second[at] as number];
    if (one) count(areas, one);
    if (other) count(others, other);
    if (one && other) count(shared, one * (most + 1) + other);
  }
  const pairs: [number, number][] = [];
  for (const [key, pixels] of shared) {
    const [one, other] = [Math.floor(key / (most + 1)), key % (most + 1)];
    const together = (areas.get(one) ?? 0) + (others.get(other) ?? 0) - pixels;
    if (pixels / together > least) pairs.push([one, other]);
  }
  const [left, right] = [new Set(pairs.map(([one]) => one)), new Set(pairs.map(([, other]) => other))];
  return {
    pairs,
    lost: [...areas.keys()].filter((label) => !left.has(label)),
    added: [...others.keys()].filter((label) => !right.has(label)),
  };
}

/** Return 2 · same ÷ (all of both); 1 when both are empty. */
export function f1({ pairs, lost, added }: Matched): number {
  const all = 2 * pairs.length + lost.length + added.length;
  return all === 0 ? 1 : (2 * pairs.length) / all;
}
