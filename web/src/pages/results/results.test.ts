import { describe, expect, it } from "vitest";

import { TableBuilder } from "../../viewer/csv";
import { choices, describe as described, firstChoice, shown } from "./columns";
import { colours } from "./look";
import { rowsOf } from "./ObjectCard";
import { outliers } from "./outliers";
import { fromHash, toHash } from "./url";

describe("a link", () => {
  const state = {
    view: { x: 12.5, y: 7, zoom: -1.25 },
    channels: [{ visible: false, colour: [0, 255, 16] as const, window: [1, 2000] as [number, number] }],
    outlines: false,
    nuclei: true,
    fill: 0,
    colourBy: "mean_CD45 & more",
    column: "area_um2",
    range: [0.5, 12] as [number, number],
    pinned: 41,
    t: 2,
    z: 3,
    compare: "261123-299nr5p498",
    mode: "swipe" as const,
  };

  it("restores all that was seen", () => {
    expect(fromHash(`#${toHash(state)}`)).toEqual(state);
  });

  it("leaves out what makes no sense", () => {
    const read = fromHash("#at=1,x,2&ch=1,zz,3&fill=7&object=-3&range=9,1&z=1e9&mode=magic");
    expect(read).toMatchObject({ view: undefined, channels: undefined, pinned: undefined, range: undefined, z: undefined, mode: undefined });
    expect(read.fill).toBe(1);
    expect(fromHash("")).toMatchObject({ outlines: undefined, nuclei: undefined, fill: undefined });
  });
});

describe("columns", () => {
  it("have names and units", () => {
    expect(described("area_um2")).toEqual({ key: "area_um2", name: "Area", unit: "µm²" });
    expect(described("mean_DAPI").name).toBe("Mean of DAPI");
    expect(described("mean_1").name).toBe("Mean of channel 1");
    expect(described("min_area_px_channel").name).toBe("Lowest of area_px_channel");
  });

  it("are offered once, in µm where that is known", () => {
    const keys = ["label", "t", "x_px", "x_um", "y_min_px", "area_px", "area_um2", "solidity"];
    expect(choices(keys).map(({ key }) => key)).toEqual(["x_um", "area_um2", "solidity"]);
    expect(firstChoice(choices(keys))).toBe("area_um2");
    expect(firstChoice(choices(["solidity"]))).toBe("solidity");
  });

  it("are shown with four digits, grouped, and a dash where there is nothing", () => {
    expect([shown(0.123456), shown(12345.6), shown(-0.5), shown(NaN)]).toEqual(["0.1235", "12\u2009346", "−0.5", "–"]);
  });
});

describe("colours of objects", () => {
  const made = new TableBuilder();
  made.push("label,area_px\n1,10\n2,\n3,30\n");
  const table = made.table();
  const alpha = (data: Uint8Array, label: number) => data[4 * label + 3];

  it("follow a column, and are grey where a value is missing", () => {
    const { data } = colours({ objects: 3, table, by: "area_px" });
    expect([...data.slice(4, 7)]).toEqual([68, 1, 84]);
    expect([...data.slice(8, 11)]).toEqual([140, 140, 140]);
    expect([...data.slice(12, 15)]).toEqual([253, 231, 37]);
  });

  it("let those outside the range stand back", () => {
    const { data } = colours({ objects: 3, table, column: "area_px", range: [5, 15] });
    expect(alpha(data, 1)).toBe(255);
    expect(alpha(data, 2)).toBeLessThan(100);
    expect(alpha(data, 3)).toBeLessThan(100);
  });
});

describe("the card of an object", () => {
  it("shows its row with units, and µm alone in short", () => {
    const made = new TableBuilder();
    made.push("image,label,x_px,x_um,area_px,area_um2,mean_DAPI\na,1,5,2.5,9,2.25,100\na,2,6,3,16,4,1234.5\n");
    const table = made.table();
    expect(rowsOf(table, 2, true).map(({ name, value }) => [name, value])).toEqual([
      ["Position x", "3 µm"], ["Area", "4 µm²"], ["Mean of DAPI", "1\u2009235"],
    ]);
    expect(rowsOf(table, 2)).toHaveLength(5);
    expect(rowsOf(table, 3)).toEqual([]);
    expect(rowsOf(undefined, 3)).toEqual([]);
  });
});

describe("outliers", () => {
  const usual = [200, 210, 190, 205, 195, 202].map((objects, number) => ({ number, objects, pixels: 1e6, median: 20 + number / 10 }));

  it("are images with few or many objects, or small or large ones", () => {
    const odd = [
      { number: 10, objects: 20, pixels: 1e6, median: 20 },
      { number: 11, objects: 2000, pixels: 1e6, median: 5 },
      { number: 12, objects: 0, pixels: 1e6 },
      { number: 13, objects: 400, pixels: 2e6, median: 60 },
    ];
    const found = outliers([...usual, ...odd]);
    expect(found.get(10)).toEqual(["few"]);
    expect(found.get(11)).toEqual(["many", "small"]);
    expect(found.get(12)).toEqual(["none"]);
    expect(found.get(13)).toEqual(["large"]);
    expect(usual.some(({ number }) => found.has(number))).toBe(false);
  });

  it("are not told apart among few images", () => {
    expect(outliers([usual[0]!, { number: 9, objects: 1, pixels: 1e6 }]).size).toBe(0);
  });
});
