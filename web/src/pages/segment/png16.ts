/** Reads the labels of a preview: a PNG of one channel with 16 bits, of which a canvas would keep 8. */

export interface Labels {
  width: number;
  height: number;
  data: Uint16Array;
}

const SIGNATURE = 8;

/** Decode a PNG of 16-bit grey without interlace. Throws for every other kind. */
export async function decodeLabels(png: Uint8Array<ArrayBuffer>): Promise<Labels> {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const packed: Uint8Array<ArrayBuffer>[] = [];
  let [width, height] = [0, 0];
  for (let at = SIGNATURE; at + 12 <= png.length; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...png.subarray(at + 4, at + 8));
    if (kind === "IHDR") {
      [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
      // Depth, colour type, compression, filter, interlace.
      if (png.subarray(at + 16, at + 21).join() !== "16,0,0,0,0") throw new Error("not a PNG of 16-bit grey");
    }
    if (kind === "IDAT") packed.push(png.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  return { width, height, data: unfiltered(await throughStream(new DecompressionStream("deflate"), packed), width, height) };
}

export async function throughStream(
  { readable, writable }: GenericTransformStream, pieces: Uint8Array<ArrayBuffer>[],
): Promise<Uint8Array> {
  const writer = (writable as WritableStream<Uint8Array>).getWriter();
  const write = async () => {
    for (const piece of pieces) await writer.write(piece);
    await writer.close();
  };
  const [whole] = await Promise.all([new Response(readable as ReadableStream).arrayBuffer(), write()]);
  return new Uint8Array(whole);
}

const PIXEL_BYTES = 2;

/** Undo the filter of each row (PNG, part 9) and put the bytes of each pixel together. */
function unfiltered(raw: Uint8Array, width: number, height: number): Uint16Array {
  const row = PIXEL_BYTES * width;
  if (raw.length < height * (row + 1)) throw new Error("the PNG ends early");
  const labels = new Uint16Array(width * height);
  let above = new Uint8Array(row);
  for (let y = 0; y < height; y++) {
    const start = y * (row + 1);
    const line = raw.slice(start + 1, start + 1 + row);
    unfilter(line, above, raw[start] as number);
    for (let x = 0; x < width; x++) labels[y * width + x] = ((line[2 * x] as number) << 8) | (line[2 * x + 1] as number);
    above = line;
  }
  return labels;
}

function unfilter(line: Uint8Array, above: Uint8Array, filter: number): void {
  if (filter === 0) return;
  for (let i = 0; i < line.length; i++) {
    const left = i < PIXEL_BYTES ? 0 : (line[i - PIXEL_BYTES] as number);
    const up = above[i] as number;
    const corner = i < PIXEL_BYTES ? 0 : (above[i - PIXEL_BYTES] as number);
    line[i] = (line[i] as number) + guess(filter, left, up, corner);
  }
}

function guess(filter: number, left: number, up: number, corner: number): number {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  const [toLeft, toUp, toCorner] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

/** Return the bytes of a data address. */
export function bytesOf(address: string): Uint8Array<ArrayBuffer> {
  const text = atob(address.slice(address.indexOf(",") + 1));
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}
