/** Labels → colours: outlines and fills of objects in one tile. Pure functions. */

export type Rgb = readonly [number, number, number];

export interface Look {
  outlines: boolean;
  fill: boolean;
  /** 0…1, of the fill. */
  opacity: number;
  /** Colour of an object; undefined: it is not shown. */
  colour: (label: number) => Rgb | undefined;
}

/**
 * Return RGBA pixels of a tile of labels.
 *
 * A pixel is on the outline where one of its four neighbours in the tile has another label; so outlines are one pixel
 * wide at every zoom.
 */
export function paint(labels: ArrayLike<number>, width: number, height: number, look: Look): Uint8ClampedArray<ArrayBuffer> {
  const out = new Uint8ClampedArray(4 * width * height);
  const fill = look.fill ? Math.round(255 * look.opacity) : 0;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const label = labels[at] as number;
      if (label === 0) continue;
      const edge = look.outlines && isEdge(labels, label, at, x, y, width, height);
      const alpha = edge ? 255 : fill;
      if (alpha === 0) continue;
      const colour = look.colour(label);
      if (!colour) continue;
      out[4 * at] = colour[0];
      out[4 * at + 1] = colour[1];
      out[4 * at + 2] = colour[2];
      out[4 * at + 3] = alpha;
    }
  }
  return out;
}

function isEdge(
  labels: ArrayLike<number>, label: number, at: number, x: number, y: number, width: number, height: number,
): boolean {
  return (
    (x > 0 && labels[at - 1] !== label) ||
    (x < width - 1 && labels[at + 1] !== label) ||
    (y > 0 && labels[at - width] !== label) ||
    (y < height - 1 && labels[at + width] !== label)
  );
}

/** Bright colours that differ between objects with neighbouring numbers: golden-ratio steps around the hue circle. */
export function colourOfLabel(label: number): Rgb {
  const hue = (label * 0.6180339887) % 1;
  return hueToRgb(hue);
}

function hueToRgb(hue: number): Rgb {
  const part = (shift: number) => {
    const k = (shift + hue * 6) % 6;
    return Math.round(255 * (1 - 0.75 * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [part(5), part(3), part(1)];
}

/** Viridis at a few points; told apart also in grey. */
const VIRIDIS: Rgb[] = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99],
  [170, 220, 50], [253, 231, 37],
];

/** Return the colour of a value between `low` and `high`. */
export function colourOfValue(value: number, low: number, high: number): Rgb {
  const place = Math.min(1, Math.max(0, (value - low) / (high - low || 1))) * (VIRIDIS.length - 1);
  const index = Math.min(VIRIDIS.length - 2, Math.floor(place));
  const [from, to] = [VIRIDIS[index] as Rgb, VIRIDIS[index + 1] as Rgb];
  const mix = (k: 0 | 1 | 2) => Math.round(from[k] + (to[k] - from[k]) * (place - index));
  return [mix(0), mix(1), mix(2)];
}
