/** Colours of objects and first looks of channels. Pure functions. */
import type { Table } from "../../viewer/csv";
import { percentiles } from "../../viewer/histogram";
import { colourOfLabel, colourOfValue, type Rgb } from "../../viewer/paint";
import { palette, type Palette } from "../../viewer/palette";
import { MOST_CHANNELS } from "../../viewer/pixels";
import type { ChannelLook } from "../../viewer/Viewer";
import type { Multiscale } from "../../viewer/zarr";
import { colourOfHex } from "./url";

const FEW_CHANNELS = 4;
const NO_VALUE: Rgb = [140, 140, 140];

/** Show all of a few channels; of many those that the model saw. `used` counts from 1. */
export function firstLook({ channels }: Multiscale, used: number[]): ChannelLook[] {
  const shown = used.length > 0 && channels.length > FEW_CHANNELS ? used : channels.map((_, at) => at + 1);
  const visible = new Set(shown.slice(0, MOST_CHANNELS));
  return channels.map(({ color, window }, at) => ({
    visible: visible.has(at + 1),
    colour: colourOfHex(color),
    window: [window.start, window.end],
  }));
}

export type Span = [number, number];

/** Return between which values of a column colours differ: a few odd objects do not take all of them. */
export function spanOf(values: ArrayLike<number>): Span {
  const [low = 0, high = 1] = percentiles(values, [1, 99]);
  return high > low ? [low, high] : [low, low + 1];
}

export interface Colouring {
  objects: number;
  table?: Table;
  /** Column; undefined: by number. */
  by?: string;
  /** Objects whose value of `column` is outside stand back. */
  column?: string;
  range?: Span;
}

/** Return the colours of all objects of the image. */
export function colours({ objects, table, by, column, range }: Colouring): Palette {
  const values = by ? table?.columns.get(by) : undefined;
  const [low, high] = values ? spanOf(values) : [0, 1];
  const ranged = column && range ? table?.columns.get(column) : undefined;
  const valueOf = (label: number, of: Float64Array) => of[table?.rowOf.get(label) ?? -1] ?? NaN;
  return palette(objects, {
    colour: (label) => {
      if (!values) return colourOfLabel(label);
      const value = valueOf(label, values);
      return Number.isNaN(value) ? NO_VALUE : colourOfValue(value, low, high);
    },
    dim: ranged && range ? (label) => !within(valueOf(label, ranged), range) : undefined,
  });
}

export const within = (value: number, [low, high]: Span) => value >= low && value <= high;
