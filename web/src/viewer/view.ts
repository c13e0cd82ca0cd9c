/** Where the viewer looks: centre and zoom, kept outside React so that moving draws no panel again. */

export interface View {
  /** Centre, px of the image. */
  x: number;
  y: number;
  /** log2 of screen pixels per image pixel. */
  zoom: number;
}

export interface Size {
  width: number;
  height: number;
}

const CLOSEST_ZOOM = 6;
const FARTHEST_BELOW_FIT = 2;

/** Show the whole image. */
export function fit(image: Size, canvas: Size): View {
  const scale = Math.min(canvas.width / image.width, canvas.height / image.height) * 0.98;
  return { x: image.width / 2, y: image.height / 2, zoom: Math.log2(scale || 1) };
}

/** Return the pixel of the image below a place of the canvas. */
export function toImage(view: View, canvas: Size, at: { x: number; y: number }): { x: number; y: number } {
  const scale = 2 ** view.zoom;
  return { x: view.x + (at.x - canvas.width / 2) / scale, y: view.y + (at.y - canvas.height / 2) / scale };
}

/** Keep some of the image in sight, and the zoom within what makes sense. */
export function within(view: View, image: Size, canvas: Size): View {
  const least = fit(image, canvas).zoom - FARTHEST_BELOW_FIT;
  const between = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));
  return {
    x: between(view.x, 0, image.width),
    y: between(view.y, 0, image.height),
    zoom: between(view.zoom, Math.min(least, 0), CLOSEST_ZOOM),
  };
}

/** One viewer's place; whoever shows it listens. */
export class Camera {
  private heard = new Set<() => void>();
  private current: View;
  private canvas: Size = { width: 0, height: 0 };
  /** Whether somebody has moved it: until then it fits the image to every new size. */
  private moved = false;

  constructor(
    readonly image: Size,
    start?: View,
  ) {
    this.current = start ?? { x: image.width / 2, y: image.height / 2, zoom: 0 };
    this.moved = Boolean(start);
  }

  view = (): View => this.current;

  size = (): Size => this.canvas;

  listen = (tell: () => void): (() => void) => {
    this.heard.add(tell);
    return () => this.heard.delete(tell);
  };

  resize(canvas: Size) {
    this.canvas = canvas;
    if (!this.moved) this.current = fit(this.image, canvas);
    this.tell();
  }

  go(view: View) {
    this.moved = true;
    this.current = within(view, this.image, this.canvas);
    this.tell();
  }

  /** Move by parts of the canvas. */
  move(right: number, down: number) {
    const { x, y, zoom } = this.view();
    const scale = 2 ** zoom;
    this.go({ x: x + (right * this.canvas.width) / scale, y: y + (down * this.canvas.height) / scale, zoom });
  }

  zoomBy(steps: number) {
    const view = this.view();
    this.go({ ...view, zoom: view.zoom + steps });
  }

  fit() {
    this.moved = false;
    this.current = fit(this.image, this.canvas);
    this.tell();
  }

  private tell() {
    this.heard.forEach((tell) => tell());
  }
}
