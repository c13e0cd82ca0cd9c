/** What of the files that somebody chose is an image: folders of OME-Zarr are one, other files are told by their ending. */

export interface Chosen {
  /** Relative, with `/`; as it will be in the set. */
  path: string;
  file: File;
}

export interface Entry<T = Chosen> {
  /** Of the file, or of the `.zarr` folder. */
  path: string;
  files: T[];
}

/** As in src/cellfleet/images/formats.py, where the service looks for images. */
export const ENDINGS = [
  ".tif", ".tiff", ".btf", ".tf8", ".png", ".jpg", ".jpeg", ".svs", ".ndpi", ".qptiff", ".scn", ".bif",
  ".zarr", ".ozx", ".zarr.zip", ".nd2", ".czi", ".lif", ".zip",
];
/** What the service itself writes, and systems leave behind. */
const NEVER = /(^|\/)(\.cellfleet[^/]*|\.DS_Store|__MACOSX|Thumbs\.db|desktop\.ini)(\/|$)/i;

export const isArchive = (path: string) => /\.zip$/i.test(path) && !/\.zarr\.zip$/i.test(path);

/** Formats that may hold several images in one file. */
export const mayHoldSeveral = (path: string) => isArchive(path) || /\.(lif|czi|nd2|zarr|ozx|zarr\.zip)$/i.test(path);

type Told = File & { relativePath?: string; path?: string };

/** Where a file is below what was dropped or chosen; the name alone for a single file. */
export function pathOf(file: File): string {
  const { relativePath, path, webkitRelativePath } = file as Told;
  return (webkitRelativePath || relativePath || path || file.name).replace(/^(\.?\/)+/, "").replaceAll("\\", "_");
}

/** What labels may also stand in: QuPath's GeoJSON, Cellpose's own files, napari's tables of shapes; a manifest.json. */
export const LABEL_ENDINGS = [...ENDINGS, ".npy", ".geojson", ".geojson.gz", ".json", ".csv"];

/** Put files together to images, in the order of their names; those with other endings are left out. */
export function entriesOf<T extends { path: string }>(files: T[], endings = ENDINGS): { entries: Entry<T>[]; others: T[] } {
  const entries = new Map<string, Entry<T>>();
  const others: T[] = [];
  for (const file of files) {
    const path = imageOf(file.path, endings);
    if (path === undefined) {
      others.push(file);
      continue;
    }
    const known = entries.get(path);
    if (known) known.files.push(file);
    else entries.set(path, { path, files: [file] });
  }
  return { entries: [...entries.values()].sort((a, b) => collator.compare(a.path, b.path)), others };
}

/** The image that a file belongs to; undefined: to none. */
function imageOf(path: string, endings: string[]): string | undefined {
  const folder = /^(.*?\.zarr)\//i.exec(path);
  if (NEVER.test(path)) return undefined;
  if (folder) return folder[1];
  return endings.some((ending) => path.toLowerCase().endsWith(ending)) ? path : undefined;
}

const collator = new Intl.Collator("en", { numeric: true });

/** The endings of files that were left out, the most frequent first: ".txt, .xml". */
export function endingsOf(paths: string[]): string {
  const counts = new Map<string, number>();
  for (const path of paths) {
    const ending = /\.[^./]+$/.exec(path)?.[0].toLowerCase() ?? path.split("/").at(-1) ?? path;
    counts.set(ending, (counts.get(ending) ?? 0) + 1);
  }
  const names = [...counts].sort((a, b) => b[1] - a[1]).map(([ending]) => ending);
  return names.length > 4 ? `${names.slice(0, 4).join(", ")}, …` : names.join(", ");
}
