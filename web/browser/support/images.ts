/** Images for the tests: the samples that travel with cellfleet, and small ones with discs, written here. */
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

const SAMPLES = resolve(import.meta.dirname, "../../../src/cellfleet/samples");

export const SAMPLE = "large_nuclei.tif";
export const samplePath = (name: string) => join(SAMPLES, name);

interface Content {
  /** Names of sample images. */
  samples?: string[];
  /** Name → content. */
  files?: Record<string, Uint8Array>;
}

/** Make a folder of images beside the service's data; return its path. */
export async function imagesFolder(data: string, name: string, { samples = [], files = {} }: Content): Promise<string> {
  const folder = join(data, "images", name);
  await mkdir(folder, { recursive: true });
  for (const sample of samples) await copyFile(samplePath(sample), join(folder, sample));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

interface Disc {
  side?: number;
  /** Distance of the centres of the discs, px. */
  step?: number;
  /** So that two images differ. */
  seed?: number;
  /** µm per pixel as ImageJ writes it; undefined: the file does not say. */
  micronsPerPixel?: number;
}

/** A TIFF file of 8 bits with bright discs on dark ground. */
export function discs({ side = 128, step = 32, seed = 0, micronsPerPixel }: Disc = {}): Uint8Array {
  const pixels = new Uint8Array(side * side);
  const period = 11 * step; // of the discs and of the noise; the rest is a copy
  for (let y = 0; y < side; y++) {
    if (y >= period) pixels.copyWithin(y * side, (y - period) * side, (y - period + 1) * side);
    for (let x = 0; y < period && x < side; x++) {
      const away = Math.hypot((x % step) - step / 2, (y % step) - step / 2);
      pixels[y * side + x] = (away < step / 3.2 ? 190 : 12) + ((x * 7 + y * 13 + seed * 31) % 11);
    }
  }
  return tiff(pixels, side, micronsPerPixel);
}

/** The discs of `discs`, each with a number of its own; a label image. */
export function discLabels({ side = 128, step = 32 }: Disc = {}): Uint8Array {
  const across = Math.ceil(side / step);
  const labels = new Uint8Array(side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const away = Math.hypot((x % step) - step / 2, (y % step) - step / 2);
      if (away < step / 3.2) labels[y * side + x] = 1 + Math.floor(y / step) * across + Math.floor(x / step);
    }
  }
  return tiff(labels, side);
}

const SHORT = 3;
const LONG = 4;
const ASCII = 2;
const RATIONAL = 5;

function tiff(pixels: Uint8Array, side: number, micronsPerPixel?: number): Uint8Array {
  const text = micronsPerPixel ? "ImageJ=1.54f\nunit=micron\n\0" : "";
  const entries: [tag: number, type: number, count: number, value: number][] = [
    [256, LONG, 1, side],
    [257, LONG, 1, side],
    [258, SHORT, 1, 8],
    [259, SHORT, 1, 1],
    [262, SHORT, 1, 1],
  ];
  const after = 8 + 2 + 12 * (micronsPerPixel ? 12 : 8) + 4;
  if (micronsPerPixel) entries.push([270, ASCII, text.length, after]);
  const ratio = after + text.length + (text.length % 2);
  const data = ratio + (micronsPerPixel ? 8 : 0);
  entries.push([273, LONG, 1, data], [277, SHORT, 1, 1], [279, LONG, 1, pixels.length]);
  if (micronsPerPixel) entries.push([282, RATIONAL, 1, ratio], [283, RATIONAL, 1, ratio], [296, SHORT, 1, 1]);
  const file = Buffer.alloc(data + pixels.length);
  file.write("II*\0", "latin1");
  file.writeUInt32LE(8, 4);
  file.writeUInt16LE(entries.length, 8);
  entries.forEach(([tag, type, count, value], i) => {
    const at = 10 + 12 * i;
    file.writeUInt16LE(tag, at);
    file.writeUInt16LE(type, at + 2);
    file.writeUInt32LE(count, at + 4);
    if (type === SHORT) file.writeUInt16LE(value, at + 8);
    else file.writeUInt32LE(value, at + 8);
  });
  if (micronsPerPixel) {
    file.write(text, after, "latin1");
    file.writeUInt32LE(1_000_000, ratio);
    file.writeUInt32LE(Math.round(1_000_000 * micronsPerPixel), ratio + 4);
  }
  file.set(pixels, data);
  return file;
}
