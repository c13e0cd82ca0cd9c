/** The canvas: pixels by Viv, objects over them, moved by mouse and keys. Knows no job and no panel. */
import { Deck, OrthographicView } from "@deck.gl/core";
import { MultiscaleImageLayer } from "@hms-dbmi/viv";
import { useEffect, useMemo, useRef } from "react";

import { labelLayer } from "./LabelLayer";
import type { Look, Rgb } from "./paint";
import { pixelLevels } from "./pixels";
import css from "./Viewer.module.css";
import { planeSize, type Multiscale, type Selection } from "./zarr";

export interface ChannelLook {
  visible: boolean;
  colour: Rgb;
  window: [number, number];
}

export interface View {
  /** Centre, px of the image. */
  x: number;
  y: number;
  /** log2 of screen pixels per image pixel. */
  zoom: number;
}

interface Properties {
  image: Multiscale;
  labels?: Multiscale;
  channels: ChannelLook[];
  look: Look;
  lookKey: string;
  selection: Selection;
  view?: View;
  onView?: (view: View) => void;
  /** Where the pointer is, px of the image; undefined when it has left. */
  onHover?: (at?: { x: number; y: number }) => void;
  onPick?: (at: { x: number; y: number }) => void;
}

const VIEW = new OrthographicView({ id: "image", controller: { keyboard: true, inertia: false } });

/** Fit the image into the canvas. */
function fit(image: Multiscale, width: number, height: number): View {
  const finest = image.levels[0];
  const [tall, wide] = finest ? planeSize(finest) : [1, 1];
  return { x: wide / 2, y: tall / 2, zoom: Math.log2(Math.min(width / wide, height / tall) * 0.98) };
}

export function Viewer(properties: Properties) {
  const { image, view, onView, onHover, onPick } = properties;
  const frame = useRef<HTMLDivElement>(null);
  const deck = useRef<Deck<OrthographicView> | null>(null);
  const layers = useLayers(properties);
  const told = useRef({ onView, onHover, onPick });
  useEffect(() => {
    told.current = { onView, onHover, onPick };
  });
  useEffect(() => {
    const parent = frame.current;
    if (!parent) return undefined;
    const made = new Deck<OrthographicView>({
      parent,
      views: VIEW,
      layers: [],
      initialViewState: asState(view ?? fit(image, parent.clientWidth, parent.clientHeight)),
      onViewStateChange: ({ viewState }) => {
        const [x = 0, y = 0] = viewState.target ?? [];
        told.current.onView?.({ x, y, zoom: Number(viewState.zoom) });
        return viewState;
      },
      onHover: ({ coordinate }) => told.current.onHover?.(asPlace(coordinate)),
      onClick: ({ coordinate }) => {
        const at = asPlace(coordinate);
        if (at) told.current.onPick?.(at);
      },
      getCursor: ({ isDragging }) => (isDragging ? "grabbing" : "crosshair"),
    });
    deck.current = made;
    return () => {
      deck.current = null;
      made.finalize();
    };
    // The first view is where it begins; later ones come from the user.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [image]);
  useEffect(() => {
    deck.current?.setProps({ layers });
  }, [layers]);
  return <div ref={frame} className={css.frame} onPointerLeave={() => onHover?.(undefined)} />;
}

function asState({ x, y, zoom }: View) {
  return { target: [x, y, 0] as [number, number, number], zoom, minZoom: zoom - 3, maxZoom: 6 };
}

function asPlace(coordinate?: number[]) {
  const [x, y] = coordinate ?? [];
  return x === undefined || y === undefined ? undefined : { x: Math.floor(x), y: Math.floor(y) };
}

function useLayers({ image, labels, channels, look, lookKey, selection }: Properties) {
  const levels = useMemo(() => pixelLevels(image), [image]);
  return useMemo(() => {
    const selections = channels.map((_, c) => ({ ...selection, c }));
    // Viv's types leave out the properties of its extensions: the palette's colours.
    const palette = { colors: channels.map(({ colour }) => colour) };
    const pixels = new MultiscaleImageLayer({
      ...palette,
      dtype: levels[0]?.dtype ?? "Uint16",
      id: "pixels",
      loader: levels,
      selections,
      contrastLimits: channels.map(({ window }) => window),
      channelsVisible: channels.map(({ visible }) => visible),
    });
    return [pixels, labels && labelLayer({ labels, selection, look, lookKey })];
  }, [levels, labels, channels, look, lookKey, selection]);
}
