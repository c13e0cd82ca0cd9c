/** What the user has chosen to see of one image, begun from the address and written back to it. */
import { useEffect, useMemo, useRef, useState } from "react";

import type { Table } from "../../viewer/csv";
import { LabelSource } from "../../viewer/labels";
import { Camera } from "../../viewer/view";
import type { ChannelLook } from "../../viewer/Viewer";
import { planeSize, type Multiscale, type Selection } from "../../viewer/zarr";
import { choices, firstChoice, type Column } from "./columns";
import { firstLook, type Span } from "./look";
import { Pointer } from "./pointer";
import { fromHash, toHash, type CompareMode, type Linked } from "./url";

/** Kept from image to image of a job. */
export interface Style {
  outlines: boolean;
  /** Whether the nuclei of cells are outlined, too. */
  nuclei: boolean;
  /** 0…1; 0: not filled. */
  fill: number;
  /** Column; undefined: by number. */
  colourBy?: string;
  /** Of the histogram. */
  column?: string;
  tab: string;
  /** Another job. */
  compare?: string;
  compareMode: CompareMode;
  /** Where the border between two jobs is, 0…1 of the canvas. */
  border: number;
}

export const FIRST_STYLE: Style = { outlines: true, nuclei: true, fill: 0.2, tab: "view", compareMode: "together", border: 0.5 };

interface Given {
  pixels: Multiscale;
  labels?: Multiscale;
  nuclei?: Multiscale;
  table?: Table;
  used: number[];
  style: Style;
  setStyle: (change: Partial<Style>) => void;
}

/** Milliseconds until the address follows. */
const SETTLED = 250;

export function useView({ pixels, labels, nuclei, table, used, style, setStyle }: Given) {
  const [linked] = useState<Linked>(() => fromHash(window.location.hash));
  const first = useMemo(() => firstLook(pixels, used), [pixels, used]);
  const [channels, setChannels] = useState<ChannelLook[]>(
    linked.channels?.length === first.length ? linked.channels : first,
  );
  const [range, setRange] = useState<Span | undefined>(linked.range);
  const [pinned, setPinned] = useState(linked.pinned ?? 0);
  const limits = useMemo(() => lengths(pixels), [pixels]);
  const [selection, setSelection] = useState<Selection>(() => ({
    t: Math.min(linked.t ?? 0, limits.t - 1),
    z: Math.min(linked.z ?? Math.floor(limits.z / 2), limits.z - 1),
  }));
  const [camera] = useState(() => {
    const [height, width] = planeSize(pixels.levels[0] as Multiscale["levels"][number]);
    return new Camera({ width, height }, linked.view);
  });
  const source = useMemo(() => labels && new LabelSource(labels), [labels]);
  const inner = useMemo(() => nuclei && new LabelSource(nuclei), [nuclei]);
  const pointer = useMemo(() => new Pointer(camera, source), [camera, source]);
  const columns = useMemo<Column[]>(() => (table ? choices(table.columns.keys()) : []), [table]);
  const column = style.column && columns.some(({ key }) => key === style.column) ? style.column : firstChoice(columns);
  const link = useHash(camera, {
    channels, range, pinned, compare: style.compare, mode: style.compareMode, t: selection.t, z: selection.z,
    outlines: style.outlines, nuclei: inner ? style.nuclei : undefined, fill: style.fill, colourBy: style.colourBy, column: style.column,
  });
  return {
    camera, pointer, source, inner, columns, column, limits, first, link, style, setStyle,
    channels, setChannels, range, setRange, pinned, setPinned, selection, setSelection,
  };
}

export type ViewState = ReturnType<typeof useView>;

function lengths({ levels, axes }: Multiscale): { t: number; z: number } {
  const length = (axis: string) => levels[0]?.shape[axes.indexOf(axis)] ?? 1;
  return { t: length("t"), z: length("z") };
}

/** Keep the address up to date; the router need not know. Returns what gives the address of now. */
function useHash(camera: Camera, state: Linked): () => string {
  const latest = useRef(state);
  const [link] = useState(() => () => {
    const hash = toHash({ ...latest.current, view: camera.view() });
    return `${window.location.origin}${window.location.pathname}#${hash}`;
  });
  useEffect(() => {
    let timer = 0;
    latest.current = state;
    const later = () => {
      window.clearTimeout(timer);
      timer = window.setTimeout(() => window.history.replaceState(window.history.state, "", link()), SETTLED);
    };
    later();
    const unlisten = camera.listen(later);
    return () => {
      window.clearTimeout(timer);
      unlisten();
    };
  });
  return link;
}
