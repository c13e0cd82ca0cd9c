/** Another job over the same image: its labels, and which objects are in both. */
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";

import { answer, api } from "../../api/client";
import { LabelSource } from "../../viewer/labels";
import { match, type Matched } from "../../viewer/match";
import type { Rgb } from "../../viewer/paint";
import { palette } from "../../viewer/palette";
import type { Overlay } from "../../viewer/Viewer";
import type { Selection } from "../../viewer/zarr";
import { useBlink, type Blink } from "./useBlink";
import type { CompareMode } from "./url";
import { readImage, useLabels, type Image, type Record } from "./useOpened";

/** Above this the browser would be busy for long, px. */
const MOST_PIXELS = 4_194_304;
const PAGE = 1000;
const MOST_PAGES = 5;

export const COMPARE_COLOURS: { [kind in Kind]: Rgb } = { same: [240, 240, 240], lost: [255, 152, 0], added: [64, 168, 255] };

export type Kind = "same" | "lost" | "added";

export interface Comparison {
  state: "none" | "looking" | "missing" | "size" | "ready";
  objects?: number;
  /** Undefined: not yet, or too large. */
  matched?: Matched;
  tooLarge: boolean;
  shown: Set<Kind>;
  toggle: (kind: Kind) => void;
  overlays?: (look: Overlay["look"], hovered: number, pinned: number) => Overlay[];
  blink: Blink;
}

/** How two jobs are laid over each other. */
export interface Arrangement {
  mode: CompareMode;
  border: number;
}

/** Find the image in a job: mostly it has the same number. */
async function findImage(job: string, number: number, record: Record): Promise<Image | null> {
  const at = await readImage(job, number).catch(() => undefined);
  if (at && same(at, record)) return at;
  let after: number | undefined;
  for (let page = 0; page < MOST_PAGES; page++) {
    const list = await answer(
      api.GET("/api/v1/jobs/{job}/images", { params: { path: { job }, query: { status: "done", limit: PAGE, after } } }),
    );
    const found = list.images.find((image) => same(image, record));
    if (found) return found;
    if (list.after === null || list.after === undefined) return null;
    after = list.after;
  }
  return null;
}

const same = (other: Image, record: Record) =>
  Boolean(other.record?.outputs?.["ome-zarr"]) &&
  (other.record?.input && record.input
    ? other.record.input.sha256 === record.input.sha256 && other.image === record.image
    : other.image === record.image);

export function useCompare(
  job: string | undefined, number: number, record: Record, mine: LabelSource | undefined, selection: Selection,
  { mode, border }: Arrangement,
): Comparison {
  const blink = useBlink(Boolean(job) && mode === "blink");
  const [shown, setShown] = useState<Set<Kind>>(new Set(["same", "lost", "added"]));
  const image = useQuery({
    queryKey: ["compared", job, number, record.image],
    queryFn: () => findImage(job ?? "", number, record),
    enabled: Boolean(job && mine),
    staleTime: 60_000,
  });
  const labels = useLabels(job ?? "", image.data?.record);
  const theirs = useMemo(() => labels.data && new LabelSource(labels.data), [labels.data]);
  const [fits, tooLarge] = [areAlike(mine, theirs), isLarge(mine)];
  const matched = useQuery({
    queryKey: ["matched", job, number, record.key, record.image, selection.t, selection.z],
    queryFn: async () => match(...(await Promise.all([mine!.plane(selection), theirs!.plane(selection)]))),
    enabled: fits && !tooLarge,
    staleTime: Infinity,
    gcTime: 60_000,
  }).data;
  const objects = image.data?.record?.objects;
  const apart = mode !== "together";
  const palettes = useMemo(() => {
    if (!job || !fits) return undefined;
    const kinds = kindsOf(matched);
    const paint = (own: Map<number, Kind>, rest: Kind, most: number) =>
      palette(most, {
        colour: (label) => {
          const kind = own.get(label) ?? rest;
          return shown.has(kind) ? COMPARE_COLOURS[kind] : undefined;
        },
      });
    const first = paint(kinds.mine, "lost", record.objects ?? 0);
    // What is in both is drawn once, where both are drawn at the same place.
    const second = matched && !apart ? onlyAdded(matched, objects ?? 0, shown) : paint(kinds.theirs, "added", objects ?? 0);
    return { first, second };
  }, [job, fits, matched, shown, apart, record.objects, objects]);
  const overlays = useMemo(() => {
    if (!mine || !theirs || !palettes) return undefined;
    const parts = partsOf(mode, border, blink.other);
    return (look: Overlay["look"], hovered: number, pinned: number): Overlay[] => [
      { id: "labels", source: mine, palette: palettes.first, look, hovered, pinned, part: parts.mine },
      { id: "compared", source: theirs, palette: palettes.second, look, part: parts.theirs },
    ];
  }, [mine, theirs, palettes, mode, border, blink.other]);
  const toggle = (kind: Kind) =>
    setShown((before) => {
      const next = new Set(before);
      if (!next.delete(kind)) next.add(kind);
      return next;
    });
  return { state: stateOf(job, image.data, Boolean(theirs), fits, image.isError || labels.isError), objects, matched, tooLarge, shown, toggle, overlays, blink };
}

function stateOf(job: string | undefined, image: Image | null | undefined, opened: boolean, fits: boolean, failed: boolean) {
  if (!job) return "none";
  if (image === null || failed) return "missing";
  if (!opened) return "looking";
  return fits ? "ready" : "size";
}

function kindsOf(matched?: Matched) {
  const [mine, theirs] = [new Map<number, Kind>(), new Map<number, Kind>()];
  matched?.pairs.forEach(([label, other]) => {
    mine.set(label, "same");
    theirs.set(other, "same");
  });
  return { mine, theirs };
}

const areAlike = (mine?: LabelSource, theirs?: LabelSource) =>
  Boolean(mine && theirs && mine.width === theirs.width && mine.height === theirs.height);

const isLarge = (mine?: LabelSource) => Boolean(mine && mine.width * mine.height > MOST_PIXELS);

const ALL = [0, 1] as const;
const NOTHING = [0, 0] as const;

/** Return on which part of the canvas each of the two is drawn. */
function partsOf(mode: CompareMode, border: number, other: boolean) {
  if (mode === "swipe") return { mine: [0, border] as const, theirs: [border, 1] as const };
  if (mode === "blink") return other ? { mine: NOTHING, theirs: ALL } : { mine: ALL, theirs: NOTHING };
  return { mine: ALL, theirs: ALL };
}

function onlyAdded({ added }: Matched, objects: number, shown: Set<Kind>) {
  const known = new Set(added);
  return palette(objects, { colour: (label) => (known.has(label) && shown.has("added") ? COMPARE_COLOURS.added : undefined) });
}
