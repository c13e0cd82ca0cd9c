import { describe, expect, it } from "vitest";

import { binOf, histogram, percentiles } from "./histogram";
import { f1, match } from "./match";
import { scaleBar } from "./scale";

describe("histogram", () => {
  it("counts every finite value once", () => {
    const made = histogram([0, 0.5, 1, 9.9, 10, NaN, Infinity], 10);
    expect(made).toMatchObject({ low: 0, high: 10 });
    expect(made?.counts).toEqual([2, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
  });

  it("knows the bin of a value, and none for a missing one", () => {
    const made = histogram([0, 0.25, 10], 10);
    expect(made && binOf(made, 10)).toBe(9);
    expect(made && binOf(made, NaN)).toBeUndefined();
    expect(made && binOf(made, undefined)).toBeUndefined();
    expect(made && binOf(made, 11)).toBeUndefined();
  });

  it("has no more bins than whole numbers, one value is a bin, and nothing is nothing", () => {
    expect(histogram([1, 2, 3, 3])?.counts).toEqual([1, 1, 2]);
    expect(histogram([5, 5])?.counts.reduce((sum, count) => sum + count)).toBe(2);
    expect(histogram([NaN])).toBeUndefined();
  });

  it("finds percentiles like numpy", () => {
    expect(percentiles([4, 1, 3, 2, NaN], [0, 50, 100])).toEqual([1, 2.5, 4]);
  });
});

describe("match", () => {
  it("pairs objects that share more than half, and tells the others", () => {
    const first = [1, 1, 1, 0, 2, 2, 0, 3];
    const other = [5, 5, 0, 0, 0, 6, 6, 0];
    const found = match(first, other);
    expect(found).toEqual({ pairs: [[1, 5]], lost: [2, 3], added: [6] });
    expect(f1(found)).toBeCloseTo(2 / 5);
  });

  it("finds half too little, so that no object has two partners", () => {
    expect(match([1, 1], [1, 0]).pairs).toEqual([]);
    expect(match([1, 1, 1, 1], [1, 1, 2, 2]).pairs).toEqual([]);
  });

  it("says that two empty images agree", () => {
    expect(f1(match([0, 0], [0, 0]))).toBe(1);
  });
});

describe("scale bar", () => {
  it("is round, and as long as fits", () => {
    expect(scaleBar(0, 0.325, 140)).toEqual({ width: 20 / 0.325, text: "20 µm" });
    expect(scaleBar(3, 0.325, 140).text).toBe("5 µm");
    expect(scaleBar(-5, 0.5, 140).text).toBe("2 mm");
    expect(scaleBar(6, 0.325, 140).text).toBe("500 nm");
  });

  it("is in pixels where nobody knows their size", () => {
    expect(scaleBar(0, undefined, 140)).toEqual({ width: 100, text: "100 px" });
  });

  it("doubles with each step of the zoom, within its room", () => {
    for (let zoom = -6; zoom <= 6; zoom += 0.3) {
      const { width } = scaleBar(zoom, 0.65, 140);
      expect(width).toBeLessThanOrEqual(140.001);
      expect(width).toBeGreaterThan(140 / 2.6);
    }
  });
});
