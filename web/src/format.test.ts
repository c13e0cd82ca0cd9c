import { describe, expect, test } from "vitest";

import { ago, bytes, count, counted, dollars, duration, pixels } from "./format";

describe("numbers are written as people read them", () => {
  test("grouped, with their unit, in the right number", () => {
    expect(count(2415883)).toBe("2\u2009415\u2009883");
    expect(counted(1, "image")).toBe("1 image");
    expect(counted(0, "image")).toBe("0 images");
    expect(counted(2, "nucleus", "nuclei")).toBe("2 nuclei");
  });

  test("times have two units at most", () => {
    expect([0, 45, 65, 3600, 3700, 90061].map(duration)).toEqual([
      "0 s", "45 s", "1 min 5 s", "1 h", "1 h 1 min", "1 d 1 h",
    ]);
    expect(ago(1000, 4000)).toBe("just now");
    expect(ago(0, 185_000)).toBe("3 min ago");
  });

  test("sizes", () => {
    expect([999, 12_340, 123_400_000].map(bytes)).toEqual(["999 bytes", "12.3 kB", "123 MB"]);
    expect([400_000, 16_777_216, 1_750_000_000].map(pixels)).toEqual(["0.40 Mpx", "17 Mpx", "1.75 Gpx"]);
  });
});

test("money is told to the cent, and little money is not told as nothing", () => {
  expect([0, 12.346, 1234.5, 1].map(dollars)).toEqual(["$0.00", "$12.35", "$1\u2009234.50", "$1.00"]);
  expect([0.19, 0.004213, 0.00001].map(dollars)).toEqual(["$0.19", "$0.0042", "< $0.0001"]);
});
