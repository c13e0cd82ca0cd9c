/** What is asked of the job, kept while the page is left and come back to; and the requests that are made of it. */
import { useSyncExternalStore } from "react";

import type { Schemas } from "../../api/client";
import { fullName, type Model } from "../../api/models";

export type Format = Schemas["JobRequest"]["formats"][number];
export type Spec = Schemas["SegmentSpec"];
export type Compartment = Model["compartments"][number];

export interface Settings {
  /** Name, with a version where another than the newest is meant; undefined: the first model of the list. */
  model?: string;
  /** By role: names or numbers of channels; none: the service chooses by name. */
  channels: Record<string, (string | number)[]>;
  /** Of a model that finds cells and nuclei; undefined: both. */
  compartment?: Compartment;
  micronsPerPixel?: number;
  diameter?: number;
  axes?: string;
  formats: Format[];
  name: string;
}

/** Always asked for: the viewer reads it. */
export const VIEWED: Format = "ome-zarr";
export const OFFERED: Format[] = [
  "labels-tiff", "csv", "imagej-rois", "qupath-geojson", "parquet", "anndata", "cellpose", "mcmicro", "predicted-tiff",
];
const FRESH: Settings = { channels: {}, formats: ["labels-tiff", "csv"], name: "" };

let now = FRESH;
const heard = new Set<() => void>();

export function change(some: Partial<Settings>): void {
  now = { ...now, ...some };
  heard.forEach((tell) => tell());
}

/** For another job: what was said about these images is forgotten. */
export const forgetAnswers = () => change({ ...FRESH, model: now.model, compartment: now.compartment, formats: now.formats });

function subscribe(tell: () => void): () => void {
  heard.add(tell);
  return () => heard.delete(tell);
}

export const useSettings = (): Settings => useSyncExternalStore(subscribe, () => now);

export function specOf(settings: Settings, model: Model): Spec {
  const channels = model.roles
    .map((role) => ({ role, channels: settings.channels[role] ?? [] }))
    .filter((choice) => choice.channels.length > 0);
  return {
    format_version: 1,
    model: settings.model === fullName(model) ? settings.model : model.name,
    channels,
    microns_per_pixel: settings.micronsPerPixel ?? null,
    diameter_px: settings.diameter ?? null,
    axes: settings.axes ?? null,
    compartment: (findsBoth(model) && settings.compartment) || null,
  };
}

/** Whether there is a choice between cells and nuclei. */
export const findsBoth = ({ compartments }: Model) => compartments.length > 1;

/** Of the formats that are offered those that the model can give: a predicted image comes from the steps of a workflow. */
export const offeredBy = (model?: Model) => OFFERED.filter((one) => one !== "predicted-tiff" || Boolean(model?.steps.length));

export const formatsOf = ({ formats }: Settings, model?: Model): Format[] => [VIEWED, ...offeredBy(model).filter((one) => formats.includes(one))];
