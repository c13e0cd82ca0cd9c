/** What each object is painted with: a table from numbers to colours that the graphics card looks up. */
import type { Rgb } from "./paint";

export interface Palette {
  /** RGBA of object n at 4 · n; alpha says how strong: 0 is not shown. */
  data: Uint8Array<ArrayBuffer>;
  width: number;
  height: number;
}

/** Every graphics card has textures of this width. */
export const PALETTE_WIDTH = 2048;
const MOST_ROWS = 4096;
const STRONG = 255;
const DIM = 48;

interface Choice {
  /** Colour of an object; undefined: it is not shown. */
  colour: (label: number) => Rgb | undefined;
  /** Whether an object stands back. */
  dim?: (label: number) => boolean;
}

/** Return the table for objects 1 … `objects`; beyond eight million they begin again. */
export function palette(objects: number, { colour, dim }: Choice): Palette {
  const height = Math.min(MOST_ROWS, Math.ceil((objects + 1) / PALETTE_WIDTH));
  const data = new Uint8Array(4 * PALETTE_WIDTH * height);
  const entries = PALETTE_WIDTH * height;
  for (let label = 1; label < entries && label <= objects; label++) {
    const found = colour(label);
    if (!found) continue;
    data.set(found, 4 * label);
    data[4 * label + 3] = dim?.(label) ? DIM : STRONG;
  }
  return { data, width: PALETTE_WIDTH, height };
}
