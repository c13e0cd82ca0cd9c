/** Writes a zip, nothing packed. */
import { crc32 } from "node:zlib";

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const UTF8 = 0x0800;

/** Name → content. */
export function zipOf(files: Record<string, Uint8Array>): Buffer {
  const members: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const [path, content] of Object.entries(files)) {
    const name = Buffer.from(path);
    // Version, flags, method, time, date; checksum, sizes; length of the name and of nothing else.
    const about = Buffer.alloc(26);
    [20, UTF8, 0, 0, 33].forEach((value, k) => about.writeUInt16LE(value, 2 * k));
    [crc32(content), content.length, content.length].forEach((value, k) => about.writeUInt32LE(value, 10 + 4 * k));
    about.writeUInt16LE(name.length, 22);
    members.push(number(LOCAL), about, name, Buffer.from(content));
    directory.push(number(CENTRAL), Buffer.from([20, 0]), about, Buffer.alloc(10), number(at), name);
    at += 30 + name.length + content.length;
  }
  const end = Buffer.alloc(18);
  const count = Object.keys(files).length;
  end.writeUInt16LE(count, 4);
  end.writeUInt16LE(count, 6);
  end.writeUInt32LE(Buffer.concat(directory).length, 8);
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...members, ...directory, number(END), end]);
}

function number(value: number): Buffer {
  const four = Buffer.alloc(4);
  four.writeUInt32LE(value);
  return four;
}
