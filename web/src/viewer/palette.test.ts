import { describe, expect, it } from "vitest";

import { colourOfLabel, colourOfValue } from "./paint";
import { palette, PALETTE_WIDTH } from "./palette";

describe("palette", () => {
  const red = () => [255, 0, 0] as const;

  it("has no colour for the background, and one for every object", () => {
    const { data, width, height } = palette(3, { colour: red });
    expect([width, height]).toEqual([PALETTE_WIDTH, 1]);
    expect([...data.slice(0, 8)]).toEqual([0, 0, 0, 0, 255, 0, 0, 255]);
    expect(data[4 * 3 + 3]).toBe(255);
    expect(data[4 * 4 + 3]).toBe(0);
  });

  it("has rows for more objects than one holds", () => {
    expect(palette(PALETTE_WIDTH - 1, { colour: red }).height).toBe(1);
    expect(palette(PALETTE_WIDTH, { colour: red }).height).toBe(2);
  });

  it("leaves out what is not shown, and dims what stands back", () => {
    const { data } = palette(2, { colour: (label) => (label === 1 ? undefined : [1, 2, 3]), dim: () => true });
    expect(data[4 + 3]).toBe(0);
    expect(data[8 + 3]).toBeGreaterThan(0);
    expect(data[8 + 3]).toBeLessThan(128);
  });
});

describe("colours", () => {
  it("differ between neighbouring numbers", () => {
    const [one, two] = [colourOfLabel(41), colourOfLabel(42)];
    expect(Math.max(...one.map((part, at) => Math.abs(part - (two[at] ?? 0))))).toBeGreaterThan(60);
  });

  it("run from dark to bright with the value, and stay at the ends beyond", () => {
    expect(colourOfValue(0, 0, 10)).toEqual([68, 1, 84]);
    expect(colourOfValue(99, 0, 10)).toEqual([253, 231, 37]);
    expect(colourOfValue(-5, 0, 10)).toEqual(colourOfValue(0, 0, 10));
    expect(colourOfValue(5, 0, 10)).toEqual([33, 144, 141]);
  });
});
