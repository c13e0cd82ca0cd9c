/** Labels of one job over one image: tiles as they are needed, and which object is at a place. */
import { planeSize, readTile, type Level, type Multiscale, type Selection, type Tile } from "./zarr";

export type LabelData = Tile<Uint32Array>;

const KEPT = 128;

/** Tiles of labels, those that were used last kept; and a look at single pixels of them. */
export class LabelSource {
  private kept = new Map<string, Promise<LabelData>>();
  private whole = new Map<string, LabelData>();
  readonly side: number;
  readonly width: number;
  readonly height: number;

  constructor(readonly image: Multiscale) {
    const finest = image.levels[0] as Level;
    this.side = finest.chunks.at(-1) ?? 512;
    [this.height, this.width] = planeSize(finest);
  }

  /** Read one tile; level 0 is the finest. What is no longer wanted, by its signal, is not read on. */
  tile(level: number, x: number, y: number, selection: Selection, signal?: AbortSignal): Promise<LabelData> {
    const place = key(level, x, y, selection);
    const found = this.kept.get(place);
    if (found) {
      this.kept.delete(place);
      this.kept.set(place, found);
      // Whoever asked for it first may want it no longer; this one does.
      return found.catch((error: Error) => {
        if (error.name !== "AbortError" || signal?.aborted) throw error;
        return this.tile(level, x, y, selection, signal);
      });
    }
    const array = this.image.levels[level] ?? (this.image.levels[0] as Level);
    const read = readTile(array, this.image.axes, selection, { x, y, signal }) as Promise<LabelData>;
    this.kept.set(place, read);
    read.then(
      (tile) => this.kept.has(place) && this.whole.set(place, tile),
      () => this.kept.get(place) === read && this.kept.delete(place),
    );
    const [oldest] = this.kept.keys();
    if (this.kept.size > KEPT && oldest !== undefined) {
      this.kept.delete(oldest);
      this.whole.delete(oldest);
    }
    return read;
  }

  /** Return the object at a pixel of the full image; undefined: not read yet. Looks at `level`, as it is on the screen. */
  seen(at: { x: number; y: number }, level: number, selection: Selection): number | undefined {
    if (!this.covers(at)) return 0;
    const [x, y] = [at.x >> level, at.y >> level];
    const tile = this.whole.get(key(level, Math.floor(x / this.side), Math.floor(y / this.side), selection));
    return tile && pixel(tile, x % this.side, y % this.side);
  }

  /** Return the object at a pixel of the full image. */
  async exactly(at: { x: number; y: number }, selection: Selection): Promise<number> {
    if (!this.covers(at)) return 0;
    const tile = await this.tile(0, Math.floor(at.x / this.side), Math.floor(at.y / this.side), selection);
    return pixel(tile, at.x % this.side, at.y % this.side);
  }

  /** Read a whole plane at full size: of small images. */
  async plane(selection: Selection): Promise<Uint32Array> {
    const all = new Uint32Array(this.width * this.height);
    const [rows, columns] = [Math.ceil(this.height / this.side), Math.ceil(this.width / this.side)];
    const places = Array.from({ length: rows * columns }, (_, at) => ({ x: at % columns, y: Math.floor(at / columns) }));
    await Promise.all(
      places.map(async ({ x, y }) => {
        const tile = await this.tile(0, x, y, selection);
        for (let row = 0; row < tile.height; row++) {
          const line = tile.data.subarray(row * tile.width, (row + 1) * tile.width);
          all.set(line, (y * this.side + row) * this.width + x * this.side);
        }
      }),
    );
    return all;
  }

  private covers({ x, y }: { x: number; y: number }): boolean {
    return x >= 0 && y >= 0 && x < this.width && y < this.height;
  }
}

const key = (level: number, x: number, y: number, { t = 0, z = 0 }: Selection) => [level, x, y, t, z].join(",");

const pixel = (tile: LabelData, x: number, y: number) =>
  x < tile.width && y < tile.height ? (tile.data[y * tile.width + x] ?? 0) : 0;
