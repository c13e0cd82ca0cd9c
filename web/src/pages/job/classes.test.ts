import { describe, expect, it } from "vitest";

import { readCounts, rowsOf } from "./classes";

type Planes = NonNullable<Parameters<typeof rowsOf>[0]["record"]>["classes"];

const image = (classes: Planes) => ({ number: 4, image: "a.tif", record: { classes } });
const score = (name: string, value: number) => ({ name, score: value });

describe("the counts of classes", () => {
  it("are those of the file, whatever stands in a name", () => {
    expect(readCounts('class,planes\n"a, ""b""",12\nrest,1\n')).toEqual([
      { name: 'a, "b"', planes: 12 },
      { name: "rest", planes: 1 },
    ]);
    expect(readCounts("class,planes\n")).toEqual([]);
  });
});

describe("the rows of an image", () => {
  it("are one for each plane, with the next best beside the best", () => {
    const top = [score("mitosis", 0.98765), score("rest", 0.01), score("debris", 0.002), score("edge", 0)];
    expect(rowsOf(image([{ t: null, z: null, top }]))).toEqual([
      { key: "4 0", image: "a.tif", best: "mitosis", score: "0.988", next: "rest 0.01, debris 0.002" },
    ]);
    expect(rowsOf(image([0, 1].map((z) => ({ t: 2, z, top })))).map((row) => row.image)).toEqual(["a.tif t=2 z=0", "a.tif t=2 z=1"]);
  });

  it("are none where nothing was classified", () => {
    expect(rowsOf(image([]))).toEqual([]);
    expect(rowsOf({ number: 0, image: "a" })).toEqual([]);
  });
});
