/** The canvas: pixels by Viv, objects over them, moved by mouse and keys. Knows no job and no panel. */
import { Deck, OrthographicView } from "@deck.gl/core";
import { MultiscaleImageLayer } from "@hms-dbmi/viv";
import type { Device, Texture } from "@luma.gl/core";
import { useEffect, useMemo, useRef, useState, type PointerEvent } from "react";

import { labelLayer, REST_MS, type LabelLook } from "./LabelLayer";
import type { LabelSource } from "./labels";
import type { Rgb } from "./paint";
import type { Palette } from "./palette";
import { MOST_CHANNELS, pixelLevels } from "./pixels";
import { toImage, type Camera } from "./view";
import css from "./Viewer.module.css";
import type { Multiscale, Selection } from "./zarr";

export interface ChannelLook {
  visible: boolean;
  colour: Rgb;
  window: [number, number];
}

/** The objects of one job. */
export interface Overlay {
  id: string;
  source: LabelSource;
  palette: Palette;
  look: LabelLook;
  hovered?: number;
  pinned?: number;
  /** The part of the canvas that it is drawn on, 0…1 of the width; all of it where none is given. */
  part?: readonly [number, number];
  /** How large its objects mostly are, px of the image. */
  size?: number;
}

export interface Pointed {
  /** px of the image. */
  at: { x: number; y: number };
  /** px of the canvas. */
  on: { x: number; y: number };
}

interface Properties {
  image: Multiscale;
  camera: Camera;
  channels: ChannelLook[];
  overlays: Overlay[];
  selection: Selection;
  /** What the canvas shows, for those who do not see it. */
  label: string;
  onHover?: (pointed?: Pointed) => void;
  onPick?: (at: { x: number; y: number }) => void;
  /** The graphics card, or the lack of one. */
  onTrouble?: (error: Error) => void;
}

const VIEW = new OrthographicView({
  id: "image",
  controller: { keyboard: false, inertia: false, doubleClickZoom: false, dragRotate: false, touchRotate: false },
});
interface Drawing {
  deck: Deck<OrthographicView>;
  textures: Textures;
}

/** A press that moves less is a click, px. */
const STILL = 4;

export function Viewer(properties: Properties) {
  const { camera, label, onTrouble } = properties;
  const frame = useRef<HTMLDivElement>(null);
  const [deck, setDeck] = useState<Drawing>();
  const told = useRef(onTrouble);
  useEffect(() => {
    told.current = onTrouble;
  });
  useEffect(() => {
    const parent = frame.current;
    if (!parent) return undefined;
    const made = makeDeck(parent, camera, (device) => setDeck({ deck: made, textures: new Textures(device) }), (error) => told.current?.(error));
    const follow = () => made.setProps({ viewState: asState(camera) });
    const unlisten = camera.listen(follow);
    const watch = new ResizeObserver(() => {
      if (parent.clientWidth > 0) camera.resize({ width: parent.clientWidth, height: parent.clientHeight });
    });
    watch.observe(parent);
    return () => {
      watch.disconnect();
      unlisten();
      setDeck(undefined);
      release(made, parent);
    };
  }, [camera]);
  useLayers(properties, deck);
  const pointer = usePointer(properties);
  return <div ref={frame} className={css.frame} role="application" aria-label={label} tabIndex={0} {...pointer} />;
}

function makeDeck(parent: HTMLDivElement, camera: Camera, ready: (device: Device) => void, failed: (error: Error) => void) {
  return new Deck<OrthographicView>({
    parent,
    views: VIEW,
    layers: [],
    viewState: asState(camera),
    onDeviceInitialized: ready,
    onError: failed,
    onViewStateChange: ({ viewState }) => {
      const [x = 0, y = 0] = viewState.target ?? [];
      camera.go({ x, y, zoom: Number(viewState.zoom) });
    },
    getCursor: ({ isDragging }) => (isDragging ? "grabbing" : "crosshair"),
  });
}

/** Let go of all that the graphics card holds: browsers allow only some sixteen canvases that are alive. */
function release(deck: Deck<OrthographicView>, parent: HTMLDivElement) {
  const canvas = parent.querySelector("canvas");
  deck.finalize();
  canvas?.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
  canvas?.remove();
}

function asState(camera: Camera) {
  const { x, y, zoom } = camera.view();
  return { target: [x, y, 0] as [number, number, number], zoom, minZoom: -20, maxZoom: 6 };
}

function usePointer({ camera, onHover, onPick }: Properties) {
  const pressed = useRef<{ x: number; y: number }>(undefined);
  const place = (event: PointerEvent<HTMLDivElement>): Pointed => {
    const box = event.currentTarget.getBoundingClientRect();
    const on = { x: event.clientX - box.left, y: event.clientY - box.top };
    const { x, y } = toImage(camera.view(), camera.size(), on);
    return { on, at: { x: Math.floor(x), y: Math.floor(y) } };
  };
  return {
    onPointerDown: (event: PointerEvent<HTMLDivElement>) => {
      pressed.current = place(event).on;
      event.currentTarget.focus({ preventScroll: true });
    },
    onPointerMove: (event: PointerEvent<HTMLDivElement>) => onHover?.(event.buttons ? undefined : place(event)),
    onPointerUp: (event: PointerEvent<HTMLDivElement>) => {
      const { on, at } = place(event);
      const from = pressed.current;
      pressed.current = undefined;
      if (from && event.button === 0 && Math.hypot(on.x - from.x, on.y - from.y) < STILL) onPick?.(at);
    },
    onPointerLeave: () => onHover?.(undefined),
  };
}

function useLayers({ image, channels, overlays, selection }: Properties, drawing?: Drawing) {
  const levels = useMemo(() => pixelLevels(image), [image]);
  const pixels = useMemo(() => {
    const shown = channels.map((channel, c) => ({ ...channel, c })).filter(({ visible }) => visible);
    const drawn = (shown.length > 0 ? shown : channels.map((channel, c) => ({ ...channel, c }))).slice(0, MOST_CHANNELS);
    // Viv's types leave out the properties of its extensions (the palette's colours), and those of the layers that it is made of.
    const own = { colors: drawn.map(({ colour }) => colour), debounceTime: REST_MS };
    return new MultiscaleImageLayer({
      ...own,
      dtype: levels[0]?.dtype ?? "Uint16",
      id: "pixels",
      loader: levels,
      selections: drawn.map(({ c }) => ({ ...selection, c })),
      contrastLimits: drawn.map(({ window }) => window),
      channelsVisible: drawn.map(({ visible }) => visible),
    });
  }, [levels, channels, selection]);
  useEffect(() => {
    if (!drawing) return;
    const { deck, textures } = drawing;
    const labels = overlays.map(({ palette, hovered = 0, pinned = 0, ...overlay }) =>
      labelLayer({ ...overlay, selection, hovered, pinned, palette: textures.of(palette) }),
    );
    deck.setProps({ layers: [pixels, ...labels] });
    textures.keep(overlays.map(({ palette }) => palette));
  }, [drawing, pixels, overlays, selection]);
}

/** Milliseconds until all layers have taken the next palette. */
const TAKEN = 500;

/** Palettes on the graphics card, as long as they are shown. */
class Textures {
  private held = new Map<Palette, Texture>();

  constructor(private readonly device: Device) {}

  of(palette: Palette): Texture {
    const found = this.held.get(palette);
    if (found) return found;
    const sampler = { minFilter: "nearest", magFilter: "nearest" } as const;
    const made = this.device.createTexture({ format: "rgba8unorm", ...palette, sampler });
    this.held.set(palette, made);
    return made;
  }

  keep(palettes: Palette[]) {
    for (const [palette, texture] of this.held) {
      if (palettes.includes(palette)) continue;
      this.held.delete(palette);
      setTimeout(() => texture.destroy(), TAKEN);
    }
  }
}
