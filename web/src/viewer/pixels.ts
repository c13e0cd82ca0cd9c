/** Levels of an image as Viv reads them. */
import { readTile, type Level, type Multiscale, type Selection, type Tile } from "./zarr";

type VivType = "Uint8" | "Uint16" | "Uint32" | "Int8" | "Int16" | "Int32" | "Float32" | "Float64";

const VIV_TYPES: Record<string, VivType> = {
  uint8: "Uint8", uint16: "Uint16", uint32: "Uint32", int8: "Int8", int16: "Int16", int32: "Int32",
  float32: "Float32", float64: "Float64",
};

type Pixels =
  | Uint8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>;

/** Viv draws no more at a time. */
export const MOST_CHANNELS = 6;

/** What Viv calls a PixelSource: one level. */
export class PixelLevel {
  readonly labels: [...string[], "y", "x"];
  readonly shape: number[];
  readonly dtype: VivType;
  readonly tileSize: number;

  constructor(
    private readonly level: Level,
    axes: string[],
  ) {
    this.labels = axes as [...string[], "y", "x"];
    this.shape = level.shape;
    this.dtype = VIV_TYPES[level.dtype as string] ?? "Uint16";
    this.tileSize = level.chunks.at(-1) ?? 512;
  }

  /** Read one tile. */
  getTile({ x, y, selection, signal }: { x: number; y: number; selection: Selection; signal?: AbortSignal }) {
    return readTile(this.level, this.labels, selection, { x, y, signal }) as Promise<Tile<Pixels>>;
  }

  /** Read the whole plane: of the coarsest level, which is one tile. */
  getRaster({ selection, signal }: { selection: Selection; signal?: AbortSignal }): Promise<Tile<Pixels>> {
    return this.getTile({ x: 0, y: 0, selection, signal });
  }

  onTileError(error: Error) {
    if (error.name !== "AbortError") throw error;
  }
}

export const pixelLevels = (image: Multiscale) => image.levels.map((level) => new PixelLevel(level, image.axes));
