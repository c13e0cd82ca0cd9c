/** What of the files that were given is an image and what are its labels, and what the service is told of them. */
import type { Draft } from "../../uploads/draft";

export interface Given {
  images: number;
  labels: number;
  /** The only file, where it is an archive: what it holds is not known here. */
  archive?: string;
}

const LABEL_FOLDER = /(^|\/)(labels|cells|nuclei)\//i;
/** What programs add to the name of an image for its labels. */
const LABEL_NAME = /(_cp_masks|_masks|_labels|_seg|_cells|_nuclei)?\.(npy|geojson|geojson\.gz|csv)$|(_cp_masks|_masks|_labels)\.(tiff?|png)$/i;
const ABOUT = /(^|\/)manifest[^/]*\.json$/i;

export function givenOf(paths: readonly string[], isArchive: (path: string) => boolean): Given {
  const [only] = paths;
  if (paths.length === 1 && only !== undefined && isArchive(only)) return { images: 0, labels: 0, archive: only };
  const content = paths.filter((path) => !ABOUT.test(path));
  const labels = content.filter((path) => LABEL_FOLDER.test(path) || LABEL_NAME.test(path)).length;
  return { images: content.length - labels, labels };
}

/** The folders that a data set begins with; any other one around all files is the data set's own. */
const PARTS = new Set(["images", "labels", "cells", "nuclei", "train", "val"]);

/** The data set as the service is told of it. Undefined: nothing is up yet. */
export function datasetOf({ set, items }: Pick<Draft, "set" | "items">): string | undefined {
  const [first] = items;
  if (!set || !first) return undefined;
  if (items.length === 1 && first.archive) return first.input;
  const top = /^([^/]+)\//.exec(first.path)?.[1];
  const around = top && !PARTS.has(top.toLowerCase()) && items.every(({ path }) => path.startsWith(`${top}/`));
  return around ? `set:${set}/${top}` : `set:${set}`;
}

/** Whether a model may be called so; as `ModelName` of the service. */
export const isName = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name);
