/** Objects over the pixels: tiles of the label pyramid. On the deck.gl that Viv brings. */
import { TileLayer } from "@deck.gl/geo-layers";
import type { Texture } from "@luma.gl/core";

import type { LabelData, LabelSource } from "./labels";
import { LabelTile } from "./LabelTile";
import type { Selection } from "./zarr";

export interface LabelLook {
  outlines: boolean;
  /** 0…1; 0: objects are not filled. */
  fill: number;
}

interface Properties {
  id: string;
  source: LabelSource;
  selection: Selection;
  palette: Texture;
  look: LabelLook;
  hovered: number;
  pinned: number;
  part?: readonly [number, number];
  size?: number;
}

const WHOLE = [0, 1] as const;
/** Milliseconds that the view has to rest before tiles are asked for: those of levels that fly by are not. */
export const REST_MS = 60;
/** Of outlines, px of the screen. */
const OUTLINE = 1.8;

export function labelLayer({ id, source, selection, palette, look, hovered, pinned, part = WHOLE, size }: Properties) {
  const outline = look.outlines ? OUTLINE * Math.max(1, window.devicePixelRatio) : 0;
  const drawn = { palette, fill: look.fill, outline, hovered, pinned, size, from: part[0], to: part[1] };
  return new TileLayer<LabelData>({
    id,
    tileSize: source.side,
    minZoom: -(source.image.levels.length - 1),
    maxZoom: 0,
    extent: [0, 0, source.width, source.height],
    refinementStrategy: "no-overlap",
    debounceTime: REST_MS,
    getTileData: ({ index, signal }) => source.tile(Math.round(-index.z), index.x, index.y, selection, signal),
    onTileError: (error: Error) => {
      if (error.name !== "AbortError") throw error;
    },
    updateTriggers: { getTileData: [source, selection], renderSubLayers: Object.values(drawn) },
    renderSubLayers: ({ data, tile, id: name }) => {
      if (!data) return null;
      const scale = 2 ** -tile.index.z;
      const [left, top] = [tile.index.x * source.side * scale, tile.index.y * source.side * scale];
      return new LabelTile({
        id: name,
        labels: data,
        bounds: [left, top + data.height * scale, left + data.width * scale, top],
        pickable: false,
        ...drawn,
      });
    },
  });
}
