import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { endingsOf, ENDINGS, entriesOf, pathOf } from "./chosen";

const paths = (...names: string[]) => names.map((path) => ({ path }));

test("folders of OME-Zarr are one image with all their files, hidden ones too", () => {
  const { entries, others } = entriesOf(paths("a/x.ome.zarr/.zattrs", "a/x.ome.zarr/0/0.0", "a/b.tif", "a/x.ome.zarr/labels/y.zarr/c"));
  expect(entries.map(({ path, files }) => [path, files.length])).toEqual([["a/b.tif", 1], ["a/x.ome.zarr", 3]]);
  expect(others).toEqual([]);
});

test("what is no image, and what systems leave behind, is not sent", () => {
  const { entries, others } = entriesOf(paths("A.TIF", "notes.txt", ".DS_Store", "__MACOSX/A.tif", "r/.cellfleet/t/1.jpg", "all.zip"));
  expect(entries.map(({ path }) => path)).toEqual(["A.TIF", "all.zip"]);
  expect(others).toHaveLength(4);
});

test("images are in the order that people count", () => {
  const { entries } = entriesOf(paths("f10.tif", "f9.tif", "f1.tif"));
  expect(entries.map(({ path }) => path)).toEqual(["f1.tif", "f9.tif", "f10.tif"]);
});

test("the endings are those that the service looks for, and zip", () => {
  const source = readFileSync("../src/cellfleet/images/formats.py", "utf8");
  const listed = source.slice(source.indexOf("TIFF_SUFFIXES"), source.indexOf("IMAGE_SUFFIXES"));
  expect([...ENDINGS].sort()).toEqual([...new Set(listed.match(/"(\.[a-z0-9.]+)"/g)?.map((one) => one.slice(1, -1)))].sort());
});

test("a dropped file keeps its place below the folder", () => {
  const file = (more: object) => Object.assign(new File([], "a.tif"), more);
  expect(pathOf(file({}))).toBe("a.tif");
  expect(pathOf(file({ path: "./a.tif" }))).toBe("a.tif");
  expect(pathOf(file({ path: "/plate/a.tif", relativePath: "/plate/a.tif" }))).toBe("plate/a.tif");
});

test("endings that were left out are told, the most frequent first", () => {
  expect(endingsOf(["a.txt", "b.xml", "c.xml"])).toBe(".xml, .txt");
  expect(endingsOf(["README", "a.1", "b.2", "c.3", "d.4"])).toBe("README, .1, .2, .3, …");
});
