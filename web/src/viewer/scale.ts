/** Lengths for scale bars: round numbers that fit. */
import { count } from "../format";

export interface Bar {
  /** px of the screen. */
  width: number;
  text: string;
}

const STEPS = [1, 2, 5];

/** Return the longest round length that takes at most `most` px of the screen. */
export function scaleBar(zoom: number, micronsPerPixel: number | undefined, most = 140): Bar {
  const perUnit = 2 ** zoom / (micronsPerPixel ?? 1);
  const longest = most / perUnit;
  const power = 10 ** Math.floor(Math.log10(longest));
  const step = STEPS.findLast((step) => step * power <= longest * (1 + 1e-9)) ?? 1;
  const length = step * power;
  return { width: length * perUnit, text: micronsPerPixel ? inMicrons(length) : `${plain(length)} px` };
}

const plain = (value: number) => (value >= 1000 ? count(value) : String(Number(value.toPrecision(3))));

function inMicrons(length: number): string {
  if (length >= 1000) return `${plain(length / 1000)} mm`;
  if (length < 1) return `${plain(length * 1000)} nm`;
  return `${plain(length)} µm`;
}
