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
): Comparison {
  const [shown, setShown] = useState<Set<Kind>>(new Set(["same", "lost", "added"]));
  const image = useQuery({
    queryKey: ["compared", job, number, record.image],
    queryFn: () => findImage(job ?? "", number, record),
    enabled: Boolean(job && mine),
    staleTime: 60_000,
  });
  const labels = useLabels(job ?? "", image.data?.record);
  const theirs = useMemo(() => labels.data && new LabelSource(labels.data), [labels.data]);
  const fits = Boolean(mine && theirs && mine.width === theirs.width && mine.height === theirs.height);
  const tooLarge = mine ? mine.width * mine.height > MOST_PIXELS : false;
  const matched = useQuery({
    queryKey: ["matched", job, number, record.key, record.image, selection.t, selection.z],
    queryFn: async () => match(...(await Promise.all([mine!.plane(selection), theirs!.plane(selection)]))),
    enabled: fits && !tooLarge,
    staleTime: Infinity,
    gcTime: 60_000,
  }).data;
  const objects = image.data?.record?.objects;
  const overlays = useMemo(() => {
    if (!job || !mine || !theirs || !fits) return undefined;
    const kinds = kindsOf(matched);
    const paint = (own: Map<number, Kind>, rest: Kind, most: number) =>
      palette(most, {
        colour: (label) => {
          const kind = own.get(label) ?? rest;
          return shown.has(kind) ? COMPARE_COLOURS[kind] : undefined;
        },
      });
    const first = paint(kinds.mine, "lost", record.objects ?? 0);
    // What is in both is drawn once.
    const second = matched ? onlyAdded(matched, objects ?? 0, shown) : paint(new Map(), "added", objects ?? 0);
    return (look: Overlay["look"], hovered: number, pinned: number): Overlay[] => [
      { id: "labels", source: mine, palette: first, look, hovered, pinned },
      { id: "compared", source: theirs, palette: second, look },
    ];
  }, [job, mine, theirs, fits, matched, shown, record.objects, objects]);
  const toggle = (kind: Kind) =>
    setShown((before) => {
      const next = new Set(before);
      if (!next.delete(kind)) next.add(kind);
      return next;
    });
  return { state: stateOf(job, image.data, Boolean(theirs), fits, image.isError || labels.isError), objects, matched, tooLarge, shown, toggle, overlays };
}

function stateOf(job: string | undefined, image: Image | null | undefined, opened: boolean, fits: boolean, failed: boolean) {
  if (!job) return "none";
  if (image === null || failed) return "missing";
  if (!opened) return "looking";
  return fits ? "ready" : "size";
}

function kindsOf(matched?: Matched) {
  const mine = new Map<number, Kind>();
  matched?.pairs.forEach(([label]) => mine.set(label, "same"));
  return { mine };
}

function onlyAdded({ added }: Matched, objects: number, shown: Set<Kind>) {
  const known = new Set(added);
  return palette(objects, { colour: (label) => (known.has(label) && shown.has("added") ? COMPARE_COLOURS.added : undefined) });
}
