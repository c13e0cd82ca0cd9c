/** What is asked of the job, kept while the page is left and come back to; and the requests that are made of it. */
import { useSyncExternalStore } from "react";

import type { Schemas } from "../../api/client";

export type Format = Schemas["JobRequest"]["formats"][number];
export type Spec = Schemas["SegmentSpec"];

export interface Settings {
  /** Undefined: the first model of the list. */
  model?: string;
  /** By role: names or numbers of channels; none: the service chooses by name. */
  channels: Record<string, (string | number)[]>;
  micronsPerPixel?: number;
  diameter?: number;
  axes?: string;
  formats: Format[];
  name: string;
}

/** Always asked for: the viewer reads it. */
export const VIEWED: Format = "ome-zarr";
export const OFFERED: Format[] = [
  "labels-tiff", "csv", "imagej-rois", "qupath-geojson", "parquet", "anndata", "cellpose", "mcmicro",
];
const FRESH: Settings = { channels: {}, formats: ["labels-tiff", "csv"], name: "" };

let now = FRESH;
const heard = new Set<() => void>();

export function change(some: Partial<Settings>): void {
  now = { ...now, ...some };
  heard.forEach((tell) => tell());
}

/** For another job: what was said about these images is forgotten. */
export const forgetAnswers = () => change({ ...FRESH, model: now.model, formats: now.formats });

function subscribe(tell: () => void): () => void {
  heard.add(tell);
  return () => heard.delete(tell);
}

export const useSettings = (): Settings => useSyncExternalStore(subscribe, () => now);

export function specOf(settings: Settings, model: Schemas["ModelInfo"]): Spec {
  const channels = model.roles
    .map((role) => ({ role, channels: settings.channels[role] ?? [] }))
    .filter((choice) => choice.channels.length > 0);
  return {
    format_version: 1,
    model: model.name,
    channels,
    microns_per_pixel: settings.micronsPerPixel ?? null,
    diameter_px: settings.diameter ?? null,
    axes: settings.axes ?? null,
  };
}

export const formatsOf = (settings: Settings): Format[] => [VIEWED, ...settings.formats];
