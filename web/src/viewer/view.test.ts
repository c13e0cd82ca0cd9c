import { describe, expect, it, vi } from "vitest";

import { Camera, fit, toImage, within } from "./view";

const IMAGE = { width: 1000, height: 500 };
const CANVAS = { width: 500, height: 500 };

describe("view", () => {
  it("fits the longer side into the canvas", () => {
    expect(fit(IMAGE, CANVAS)).toMatchObject({ x: 500, y: 250 });
    expect(2 ** fit(IMAGE, CANVAS).zoom).toBeCloseTo(0.49);
  });

  it("knows the pixel below the pointer", () => {
    expect(toImage({ x: 100, y: 50, zoom: 1 }, CANVAS, { x: 260, y: 250 })).toEqual({ x: 105, y: 50 });
  });

  it("keeps the image in sight and the zoom within bounds", () => {
    expect(within({ x: -90, y: 900, zoom: 99 }, IMAGE, CANVAS)).toEqual({ x: 0, y: 500, zoom: 6 });
    expect(within({ x: 1, y: 1, zoom: -50 }, IMAGE, CANVAS).zoom).toBeCloseTo(fit(IMAGE, CANVAS).zoom - 2);
  });

  it("fits every new size until somebody moves it", () => {
    const camera = new Camera(IMAGE);
    camera.resize(CANVAS);
    camera.resize({ width: 1000, height: 500 });
    expect(2 ** camera.view().zoom).toBeCloseTo(0.98);
    camera.zoomBy(1);
    const { zoom } = camera.view();
    camera.resize(CANVAS);
    expect(camera.view().zoom).toBe(zoom);
  });

  it("begins where a link says, also when the size becomes known later", () => {
    const camera = new Camera(IMAGE, { x: 7, y: 8, zoom: 2 });
    camera.resize(CANVAS);
    expect(camera.view()).toEqual({ x: 7, y: 8, zoom: 2 });
  });

  it("tells its listeners, and gives the same view until it changes", () => {
    const camera = new Camera(IMAGE);
    const tell = vi.fn();
    const stop = camera.listen(tell);
    expect(camera.view()).toBe(camera.view());
    camera.resize(CANVAS);
    stop();
    camera.fit();
    expect(tell).toHaveBeenCalledTimes(1);
  });
});
