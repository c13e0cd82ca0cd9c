/** Opens what the service serves as OME-Zarr: arrays by level, and what stands beside them. */
import * as zarr from "zarrita";

import { token } from "../api/login";
import { replaceCodecs } from "./codecs";
import { fetchPatiently } from "./fetch";

replaceCodecs();

export type Level = zarr.Array<zarr.NumberDataType, zarr.Readable>;

export interface Channel {
  label: string;
  color: string;
  window: { start: number; end: number; min: number; max: number };
}

export interface Multiscale {
  levels: Level[];
  /** Names of the axes, lower case, such as t c z y x. */
  axes: string[];
  /** µm per pixel of the finest level; undefined where nobody knows. */
  micronsPerPixel?: number;
  channels: Channel[];
}

interface OmeAttributes {
  ome: {
    multiscales: {
      axes: { name: string; unit?: string }[];
      datasets: { path: string; coordinateTransformations: { scale?: number[] }[] }[];
    }[];
    omero?: { channels: Channel[] };
  };
}

/** Open a group that stands below `url`, which has no slash at its end and perhaps a query. */
export async function openMultiscale(url: string): Promise<Multiscale> {
  const known = token();
  const overrides = known ? { headers: { Authorization: `Bearer ${known}` } } : {};
  const store = new zarr.FetchStore(new URL(url, window.location.href).href, { overrides, useSuffixRequest: true, fetch: fetchPatiently });
  const group = await zarr.open.v3(zarr.root(store), { kind: "group" });
  const { multiscales, omero } = (group.attrs as unknown as OmeAttributes).ome;
  const image = multiscales[0];
  if (!image) throw new Error("the result has no pixels");
  const levels = await Promise.all(
    image.datasets.map(async ({ path }) => (await zarr.open.v3(group.resolve(path), { kind: "array" })) as Level),
  );
  const axes = image.axes.map(({ name }) => name);
  const scale = image.datasets[0]?.coordinateTransformations[0]?.scale;
  const unit = image.axes[axes.indexOf("x")]?.unit;
  return {
    levels,
    axes,
    micronsPerPixel: unit === "micrometer" ? scale?.[axes.indexOf("x")] : undefined,
    channels: omero?.channels ?? [],
  };
}

/** Height and width of a level, px. */
export function planeSize(level: Level): [number, number] {
  const [height, width] = level.shape.slice(-2);
  return [height ?? 0, width ?? 0];
}

export type Selection = Record<string, number>;

/** The part of a chunk that lies within the image. */
export interface Tile<T> {
  data: T;
  width: number;
  height: number;
}

type Numbers = Uint32Array<ArrayBuffer>;

/** Read a chunk of a plane, cut off at the edge of the image; a chunk that nobody wrote is background. */
export async function readTile(
  level: Level,
  axes: string[],
  selection: Selection,
  at: { x: number; y: number; signal?: AbortSignal },
): Promise<Tile<Numbers>> {
  const [height, width] = planeSize(level);
  const [rows, columns] = level.chunks.slice(-2) as [number, number];
  const place = axes.map((axis) => (axis === "y" ? at.y : axis === "x" ? at.x : (selection[axis] ?? 0)));
  const chunk = await level.getChunk(place, at.signal ? { signal: at.signal } : undefined);
  const tall = Math.min(rows, height - at.y * rows);
  const wide = Math.min(columns, width - at.x * columns);
  return { data: cut(chunk.data as unknown as Numbers, columns, tall, wide), width: wide, height: tall };
}

/** All typed arrays have the same methods; that of labels stands for them. */
function cut(data: Numbers, stride: number, height: number, width: number): Numbers {
  if (width === stride) return height * stride === data.length ? data : data.slice(0, height * stride);
  const part = data.slice(0, height * width);
  for (let y = 0; y < height; y++) part.set(data.subarray(y * stride, y * stride + width), y * width);
  return part;
}
