import { expect, test } from "vitest";

import type { Draft, Item } from "../../uploads/draft";
import { inputsOf } from "./request";

const item = (path: string, input = `set:s1/${path}`): Item => ({ path, input, state: "up", size: 1, sent: 1, archive: path.endsWith(".zip") });
const draft = (items: Item[], more: Partial<Draft> = {}): Draft => ({
  set: "s1", name: "", items, size: 0, sent: 0, paused: false, lost: false, others: [], partial: false, ...more,
});

test("all that was uploaded is one input, however many files it is", () => {
  expect(inputsOf(draft([item("p/a.tif"), item("p/q/b.tif")]))).toEqual(["set:s1"]);
});

test("an archive is an input of its own, for in a folder it would be passed over", () => {
  expect(inputsOf(draft([item("p/a.tif"), item("p/b.zip")]))).toEqual(["set:s1", "set:s1/p/b.zip"]);
  expect(inputsOf(draft([item("b.zip")]))).toEqual(["set:s1/b.zip"]);
});

test("where something was taken out, what is left is named one by one", () => {
  expect(inputsOf(draft([item("a.tif"), item("b.zip")], { partial: true }))).toEqual(["set:s1/a.tif", "set:s1/b.zip"]);
});

test("places and samples stand beside what was uploaded", () => {
  expect(inputsOf(draft([item("a.tif"), item("s3://b/x", "s3://b/x")]))).toEqual(["set:s1", "s3://b/x"]);
  expect(inputsOf(draft([item("x", "set:s10/x")], { set: undefined }))).toEqual(["set:s10/x"]);
});
