/** Objects over the pixels: tiles of the label pyramid, painted as they come. On the deck.gl that Viv brings. */
import { BitmapLayer } from "@deck.gl/layers";
import { TileLayer } from "@deck.gl/geo-layers";

import { paint, type Look } from "./paint";
import { planeSize, readTile, type Multiscale, type Selection, type Tile } from "./zarr";

interface Properties {
  labels: Multiscale;
  selection: Selection;
  look: Look;
  /** Changes whenever `look` paints otherwise. */
  lookKey: string;
}

export function labelLayer({ labels, selection, look, lookKey }: Properties) {
  const finest = labels.levels[0];
  if (!finest) return null;
  const [height, width] = planeSize(finest);
  return new TileLayer<Tile<Uint32Array>>({
    id: "labels",
    tileSize: finest.chunks.at(-1) ?? 512,
    minZoom: -(labels.levels.length - 1),
    maxZoom: 0,
    extent: [0, 0, width, height],
    refinementStrategy: "best-available",
    getTileData: ({ index, signal }) => {
      const level = labels.levels[Math.round(-index.z)] ?? finest;
      return readTile(level, labels.axes, selection, { x: index.x, y: index.y, signal });
    },
    updateTriggers: { getTileData: [labels, selection], renderSubLayers: lookKey },
    renderSubLayers: (properties) => {
      const { data, tile, id } = properties;
      if (!data) return null;
      const scale = 2 ** -tile.index.z;
      const side = (finest.chunks.at(-1) ?? 512) * scale;
      const [left, top] = [tile.index.x * side, tile.index.y * side];
      const image = new ImageData(paint(data.data, data.width, data.height, look), data.width, data.height);
      return new BitmapLayer({
        id: `${id}-${lookKey}`,
        image,
        bounds: [left, top + data.height * scale, left + data.width * scale, top],
        textureParameters: { minFilter: "nearest", magFilter: "nearest" },
        pickable: false,
      });
    },
  });
}
