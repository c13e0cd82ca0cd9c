/** What is on the screen, pixel by pixel; and label images of results. */
import type { Page } from "playwright-core";

import { python } from "./service";

export interface Picture {
  width: number;
  height: number;
  /** RGBA. */
  data: Uint8ClampedArray;
}

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Look at a part of the screen. The browser unpacks its own picture. */
export async function look(page: Page, clip: Box): Promise<Picture> {
  const png = (await page.screenshot({ clip })).toString("base64");
  const { width, height, packed } = await page.evaluate(async (content) => {
    const image = new Image();
    image.src = `data:image/png;base64,${content}`;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d") as OffscreenCanvasRenderingContext2D;
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    let text = "";
    for (let i = 0; i < data.length; i += 32_768) text += String.fromCharCode(...data.subarray(i, i + 32_768));
    return { width: image.width, height: image.height, packed: btoa(text) };
  }, png);
  return { width, height, data: new Uint8ClampedArray(Buffer.from(packed, "base64")) };
}

/** How much a pixel differs between two pictures of one size: the largest difference of a colour. */
export function difference(one: Picture, other: Picture, at: number): number {
  let most = 0;
  for (let k = 0; k < 3; k++) most = Math.max(most, Math.abs((one.data[4 * at + k] ?? 0) - (other.data[4 * at + k] ?? 0)));
  return most;
}

export class Labels {
  private constructor(
    readonly height: number,
    readonly width: number,
    private readonly data: Uint32Array,
  ) {}

  static async read(file: string): Promise<Labels> {
    const [height, width, packed = ""] = (await python("labels.py", file)).split(" ");
    const bytes = Buffer.from(packed, "base64");
    return new Labels(Number(height), Number(width), new Uint32Array(new Uint8Array(bytes).buffer));
  }

  at(x: number, y: number): number {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return 0;
    return this.data[Math.floor(y) * this.width + Math.floor(x)] ?? 0;
  }

  /** Whether labels change within a distance of a place. */
  changesNear(x: number, y: number, away: number): boolean {
    const here = this.at(x, y);
    for (const dx of [-away, 0, away]) for (const dy of [-away, 0, away]) if (this.at(x + dx, y + dy) !== here) return true;
    return false;
  }
}
