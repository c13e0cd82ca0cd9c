import { expect, test } from "vitest";

import { bytesOf, decodeLabels, throughStream } from "./png16";

/** A PNG of 16-bit grey whose rows have these filters. */
async function png(rows: number[][], filters: number[], depth = 16): Promise<Uint8Array<ArrayBuffer>> {
  const width = rows[0]?.length ?? 0;
  const plain = rows.map((row) => row.flatMap((value) => [value >> 8, value & 255]));
  const raw = plain.flatMap((line, y) => [filters[y] as number, ...line.map((byte, i) => filtered(plain, y, i, filters[y] as number, byte))]);
  const packed = await throughStream(new CompressionStream("deflate"), [Uint8Array.from(raw)]);
  const header = [...word(width), ...word(rows.length), depth, 0, 0, 0, 0];
  // The pixels come in two pieces, as large files do.
  const half = Math.floor(packed.length / 2);
  return Uint8Array.from([
    137, 80, 78, 71, 13, 10, 26, 10, ...chunk("IHDR", header), ...chunk("IDAT", [...packed.subarray(0, half)]),
    ...chunk("IDAT", [...packed.subarray(half)]), ...chunk("IEND", []),
  ]);
}

const word = (value: number) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
const chunk = (kind: string, data: number[]) => [...word(data.length), ...[...kind].map((c) => c.charCodeAt(0)), ...data, 0, 0, 0, 0];

function filtered(lines: number[][], y: number, i: number, filter: number, byte: number): number {
  const [left, up] = [i < 2 ? 0 : lines[y]?.[i - 2], lines[y - 1]?.[i] ?? 0] as [number, number];
  const corner = i < 2 ? 0 : (lines[y - 1]?.[i - 2] ?? 0);
  const nearest = [left, up, corner].reduce((best, one) => {
    const far = (value: number) => Math.abs(left + up - corner - value);
    return far(one) < far(best) ? one : best;
  });
  return (byte - ([0, left, up, Math.floor((left + up) / 2), nearest][filter] as number) + 512) % 256;
}

const ROWS = [[0, 1, 256, 65535, 77], [300, 300, 0, 12, 700], [5, 65535, 65534, 3, 2], [9, 8, 700, 600, 1], [40000, 2, 2, 2, 9]];

test.each([[[0, 0, 0, 0, 0]], [[1, 1, 1, 1, 1]], [[2, 2, 2, 2, 2]], [[3, 3, 3, 3, 3]], [[4, 4, 4, 4, 4]], [[0, 1, 2, 3, 4]]])(
  "labels keep all 16 bits, whatever filters the rows have: %j",
  async (filters) => {
    const { width, height, data } = await decodeLabels(await png(ROWS, filters));
    expect([width, height]).toEqual([5, 5]);
    expect([...data]).toEqual(ROWS.flat());
  },
);

test("what is no 16-bit grey is refused, not shown wrong", async () => {
  await expect(decodeLabels(await png(ROWS, [0, 0, 0, 0, 0], 8))).rejects.toThrow("16-bit");
});

test("a data address becomes its bytes", () => {
  expect([...bytesOf("data:image/png;base64,iVBO/w==")]).toEqual([137, 80, 78, 255]);
});
