import { describe, expect, it } from "vitest";

import { CsvReader, readTable, TableBuilder } from "./csv";

function rowsOf(...parts: string[]): string[][] {
  const rows: string[][] = [];
  const reader = new CsvReader((row) => rows.push(row));
  parts.forEach((part) => reader.push(part));
  reader.end();
  return rows;
}

describe("CSV", () => {
  it("reads quotes, doubled quotes, commas and lines within them", () => {
    expect(rowsOf('a,b\n"x, ""y""\nz",2\n')).toEqual([["a", "b"], ['x, "y"\nz', "2"]]);
  });

  it("reads the same however it is cut", () => {
    const text = 'image,label\r\n"a ""1"".tif",1\r\nµ.tif,\r\n"",3';
    const whole = rowsOf(text);
    expect(whole).toEqual([["image", "label"], ['a "1".tif', "1"], ["µ.tif", ""], ["", "3"]]);
    for (let at = 1; at < text.length; at++) expect(rowsOf(text.slice(0, at), text.slice(at))).toEqual(whole);
    expect(rowsOf(...text)).toEqual(whole);
  });
});

describe("table", () => {
  it("keeps columns of numbers, and knows the row of an object", () => {
    const made = new TableBuilder();
    made.push("image,label,area_px,solidity\na.tif,7,10,0.5\na.tif,9,12.25,\na.tif,11,inf,1\n");
    const { columns, rows, rowOf } = made.table();
    expect([...columns.keys()]).toEqual(["label", "area_px", "solidity"]);
    expect(rows).toBe(3);
    expect([...(columns.get("area_px") ?? [])]).toEqual([10, 12.25, Infinity]);
    expect(columns.get("solidity")?.[1]).toBeNaN();
    expect(rowOf.get(9)).toBe(1);
    expect(rowOf.get(8)).toBeUndefined();
  });

  it("is read from an answer piece by piece, also where a letter is cut", async () => {
    const lines = Array.from({ length: 3000 }, (_, at) => `µ,${at + 1},${at / 4}\n`).join("");
    const bytes = new TextEncoder().encode(`image,label,x_px\n${lines}`);
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += 997) controller.enqueue(bytes.slice(at, at + 997));
        controller.close();
      },
    });
    const { columns, rows } = await readTable(body);
    expect(rows).toBe(3000);
    expect(columns.get("x_px")?.at(-1)).toBe(2999 / 4);
    expect(columns.has("image")).toBe(false);
  });
});
