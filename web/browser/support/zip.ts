/** Reads a zip as far as the service writes one. */
import { inflateRawSync } from "node:zlib";

const END = 0x06054b50;
const DEFLATED = 8;
const ENTRY = 0x02014b50;

/** Name → content of every file. */
export function contentsOf(zip: Buffer): Map<string, Buffer> {
  let end = zip.length - 22;
  while (end >= 0 && zip.readUInt32LE(end) !== END) end--;
  if (end < 0) throw new Error("this is no whole zip");
  const found = new Map<string, Buffer>();
  let at = zip.readUInt32LE(end + 16);
  for (let i = zip.readUInt16LE(end + 10); i > 0; i--) {
    if (zip.readUInt32LE(at) !== ENTRY) throw new Error("the directory of the zip is broken");
    const [size, nameSize, extra, comment] = [20, 28, 30, 32].map((k, n) => (n ? zip.readUInt16LE(at + k) : zip.readUInt32LE(at + k)));
    const begin = zip.readUInt32LE(at + 42);
    const content = begin + 30 + zip.readUInt16LE(begin + 26) + zip.readUInt16LE(begin + 28);
    const packed = zip.subarray(content, content + (size ?? 0));
    const name = zip.toString("utf8", at + 46, at + 46 + (nameSize ?? 0));
    found.set(name, zip.readUInt16LE(at + 10) === DEFLATED ? inflateRawSync(packed) : packed);
    at += 46 + (nameSize ?? 0) + (extra ?? 0) + (comment ?? 0);
  }
  return found;
}
