import { expect, test } from "vitest";

import { isArchive } from "../../uploads/chosen";
import type { Item } from "../../uploads/draft";
import { datasetOf, givenOf, isName } from "./dataset";

const given = (...paths: string[]) => givenOf(paths, isArchive);
const items = (...paths: string[]): Item[] =>
  paths.map((path) => ({ path, input: `set:s1/${path}`, state: "up", size: 5, sent: 5, archive: isArchive(path) }));

test("labels are told from images by their folder, and by what programs call them", () => {
  expect(given("d/images/a.tif", "d/images/b.tif", "d/labels/a.tif", "d/labels/b.tif")).toEqual({ images: 2, labels: 2 });
  expect(given("images/a.tif", "cells/a.tif", "nuclei/a.tif", "manifest.json")).toEqual({ images: 1, labels: 2 });
  expect(given("a.tif", "a_seg.npy", "b.png", "b_cp_masks.png", "c.tif", "c.geojson")).toEqual({ images: 3, labels: 3 });
});

test("nothing is said of what is inside an archive", () => {
  expect(given("corrected.zip")).toEqual({ images: 0, labels: 0, archive: "corrected.zip" });
});

test("the folder around all files is the data set; parts of a data set are not", () => {
  expect(datasetOf({ set: "s1", items: items("d/images/a.tif", "d/labels/a.tif") })).toBe("set:s1/d");
  expect(datasetOf({ set: "s1", items: items("images/a.tif", "labels/a.tif") })).toBe("set:s1");
  expect(datasetOf({ set: "s1", items: items("train/images/a.tif", "train/labels/a.tif") })).toBe("set:s1");
  expect(datasetOf({ set: "s1", items: items("d/a.tif", "e/a_seg.npy") })).toBe("set:s1");
  expect(datasetOf({ set: "s1", items: items("d.zip") })).toBe("set:s1/d.zip");
});

test("there is no data set before anything is up", () => {
  expect(datasetOf({ items: items("d/a.tif") })).toBeUndefined();
  expect(datasetOf({ set: "s1", items: [] })).toBeUndefined();
});

test("a model's name is one that the service takes", () => {
  expect(["our-tonsil", "a", "A.1_b"].every(isName)).toBe(true);
  expect(["", "-a", "a b", "ä", "a/b", "a".repeat(64)].some(isName)).toBe(false);
});
