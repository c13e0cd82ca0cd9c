import { expect, test } from "vitest";

import { Refusal } from "../../api/client";
import type { Model } from "../../api/models";
import type { Draft, Item } from "../../uploads/draft";
import { secondsFor } from "./BeforeRun";
import { factsOf, openQuestion, readingsOf } from "./facts";
import { sortedByFit, valueOf } from "./Find";
import type { Inspected, Look, Preview } from "./looks";
import { requestOf } from "./request";
import { formatsOf, specOf, type Settings } from "./settings";
import { inside, middle } from "./Square";

const item = (path: string, more: Partial<Item> = {}): Item => ({
  path, input: `set:s/${path}`, state: "up", size: 1, sent: 1, archive: false, ...more,
});
const draftOf = (items: Item[], more: Partial<Draft> = {}): Draft => ({
  set: "s", name: "plate", items, size: 0, sent: 0, paused: false, lost: false, others: [], partial: false, ...more,
});
const look = (more: Partial<Inspected> = {}): Look => ({
  data: {
    images: ["a.tif"], more_images: false, image: "a.tif", axes: "CYX", shape: [2, 10, 20], dtype: "uint16", channel_names: ["DAPI", "ch2"],
    microns_per_pixel: 0.5, microns_per_pixel_source: "ome", notices: [], thumbnail: "", ...more,
  },
});
const refused = (code: string, what = "", status = 422) => new Refusal({ code, what, where: "", action: "", message: what }, status);
const nothing = factsOf([], new Map());

test("pixels are counted without channels, and extrapolated to images that nobody has looked at", () => {
  const items = ["a", "b", "c"].map((name) => item(name));
  const facts = factsOf(items, new Map([["set:s/a", look()], ["set:s/b", look({ axes: "TCYX", shape: [3, 2, 10, 20] })]]));
  expect([facts.images, facts.pixels, facts.guessed, facts.ready]).toEqual([3, 1200, true, 2]);
});

test("an archive counts with the images inside", () => {
  const looks = new Map([["set:s/all.zip", look({ images: ["1", "2", "3"], more_images: true })]]);
  const facts = factsOf([item("all.zip", { archive: true }), item("a")], looks);
  expect([facts.images, facts.more]).toEqual([4, true]);
});

test("missing pixel sizes, unreadable images and unclear axes are told apart; a busy service is none of them", () => {
  const looks = new Map<string, Look>([
    ["set:s/a", look({ microns_per_pixel: null })], ["set:s/b", { error: refused("E106") }], ["set:s/c", { error: refused("E203") }],
    ["set:s/d", { error: refused("E933", "", 503) }], ["set:s/e", look()],
  ]);
  const facts = factsOf(["a", "b", "c", "d", "e"].map((name) => item(name)), looks);
  expect([facts.withoutSize, facts.sizes, facts.unreadable, facts.asking, facts.unclear?.path]).toEqual([1, [0.5], 1, 1, "c"]);
});

test("the button says which question is open", () => {
  const ask = (draft: Draft, facts = nothing, error: Error | null = null, viewer = false) => openQuestion(draft, facts, error, viewer);
  const up = draftOf([item("a")]);
  expect(ask(draftOf([]))).toMatch("Add images");
  expect(ask(draftOf([item("a", { state: "sending" }), item("b", { state: "waiting" })], { size: 300, sent: 100, rate: 10 }))).toBe("2 images are still uploading, about 20 s left.");
  expect(ask(draftOf([item("a", { state: "missing" })]))).toMatch("again that is not complete");
  expect(ask(draftOf([item("a", { state: "refused" })]))).toMatch("refused");
  expect(ask(up, { ...nothing, unclear: item("p/c.tif") })).toBe("Say what the pages of c.tif are.");
  expect(ask(up, { ...nothing, unreadable: 1 })).toMatch("can be read");
  expect(ask(up, nothing, refused("E211"))).toMatch("channel");
  expect(ask(up, nothing, null, true)).toMatch("token");
  expect(ask(up, nothing, refused("E933", "", 503))).toBeUndefined();
});

test("the readings that the service offers become a choice in plain words", () => {
  const what = "6 pages and no axis information. They can be one image of 6 channels (--axes CYX), or 6 z-planes (--axes ZYX), or 6 time points (--axes TYX)";
  expect(readingsOf({ error: refused("E203", what) })).toEqual([
    { axes: "CYX", name: "6 channels" }, { axes: "ZYX", name: "6 z-planes" }, { axes: "TYX", name: "6 time points" },
  ]);
  const taken = { code: "W103", what: "2 pages and no axis information. Taken as 2 channels. If these are z-planes use --axes ZYX", where: "", action: "" };
  expect(readingsOf(look({ notices: [taken] })).map(({ name }) => name)).toEqual(["2 channels", "2 z-planes"]);
  expect(readingsOf(look())).toEqual([]);
});

const model = (name: string, more: Partial<Model> = {}): Model => ({
  name, version: "1.0", sha256: "", bundled: true, task: "segmentation", compartments: ["nuclear"], steps: [], description: "", roles: ["nuclear"], microns_per_pixel: null, licence: "", size_bytes: 1,
  scores: {}, tested: false, picture: false, default: false, ...more,
});

test("models that the image has channels for come first, each in its newest version", () => {
  const all = [model("nuclei", { version: "2.0" }), model("nuclei"), model("otsu", { size_bytes: 0 }), model("tissue", { roles: ["nuclear", "membrane"] })];
  expect(sortedByFit(all, 1).map(({ name, version }) => `${name} ${version}`)).toEqual(["nuclei 2.0", "otsu 1.0", "tissue 1.0"]);
  expect(sortedByFit(all, 2)[0]?.name).toBe("tissue");
  const chosen = [...all.slice(0, 2), model("otsu", { size_bytes: 0, default: true }), model("stain", { task: "classification", roles: [] })];
  expect(sortedByFit(chosen, 1).map(({ name }) => name)).toEqual(["otsu", "nuclei"]);
  const steps = [model("stain", { task: "translation" }), model("chain", { task: "workflow" }), model("nuclei")];
  expect(sortedByFit(steps, 1).map(({ name }) => name)).toEqual(["nuclei", "chain"]);
});

test("an older version is used where it was asked for by its full name", () => {
  const all = [model("nuclei", { version: "2.0" }), model("nuclei"), model("otsu")];
  expect(sortedByFit(all, 1, "nuclei:1.0").map(({ version }) => version)).toEqual(["1.0", "1.0"]);
  expect(sortedByFit(all, 1, "nuclei").map(({ version }) => version)).toEqual(["2.0", "1.0"]);
  const asked = (name: string) => specOf({ model: name, channels: {}, formats: [], name: "" }, model("nuclei")).model;
  expect([asked("nuclei:1.0"), asked("nuclei")]).toEqual(["nuclei:1.0", "nuclei"]);
});

test("channels are told by their names, and by number where names do not tell", () => {
  expect(["DAPI", "ch2"].map((_, at) => valueOf(["DAPI", "ch2"])(at))).toEqual(["DAPI", 2]);
  expect(["", ""].map((_, at) => valueOf(["", ""])(at))).toEqual([1, 2]);
  expect([0, 1, 2].map(valueOf(["488", "488", "DAPI"]))).toEqual([1, 2, 3]);
});

test("a request names the whole set, unless something of it was taken out", () => {
  const spec = specOf({ channels: { nuclear: ["DAPI"], membrane: ["x"] }, formats: [], name: "" }, model("nuclei"));
  expect(spec.channels).toEqual([{ role: "nuclear", channels: ["DAPI"] }]);
  const items = [item("p/a.tif"), item("p/b.tif"), item("s3://lab/c.tif", { input: "s3://lab/c.tif" })];
  const form = { name: " ", formats: ["ome-zarr" as const] };
  const whole = requestOf(draftOf(items), { ...nothing, images: 3 }, spec, form);
  expect([whole.inputs, whole.name, whole.priority]).toEqual([["set:s", "s3://lab/c.tif"], "plate", "interactive"]);
  const part = requestOf(draftOf(items, { partial: true }), { ...nothing, images: 21 }, spec, form);
  expect([part.inputs, part.priority]).toEqual([["set:s/p/a.tif", "set:s/p/b.tif", "s3://lab/c.tif"], "normal"]);
});

test("what to outline is asked only of a model that finds cells and nuclei, and stays chosen while another one is looked at", () => {
  const settings: Settings = { channels: {}, compartment: "nuclear", formats: [], name: "" };
  expect(specOf(settings, model("tissue", { compartments: ["whole-cell", "nuclear"] })).compartment).toBe("nuclear");
  expect(specOf({ ...settings, compartment: undefined }, model("tissue", { compartments: ["whole-cell", "nuclear"] })).compartment).toBeNull();
  expect(specOf(settings, model("nuclei")).compartment).toBeNull();
});

test("the predicted image is asked of a workflow only", () => {
  const settings: Settings = { channels: {}, formats: ["csv", "predicted-tiff"], name: "" };
  expect(formatsOf(settings, model("chain", { task: "workflow", steps: ["stain:1", "nuclei:1"] }))).toEqual(["ome-zarr", "csv", "predicted-tiff"]);
  expect(formatsOf(settings, model("nuclei"))).toEqual(["ome-zarr", "csv"]);
});

test("the time is that of the preview, for all pixels", () => {
  const preview = { seconds: 2, region: { x: 0, y: 0, width: 100, height: 50 } } as Preview;
  expect(secondsFor(50_000, preview)).toBe(20);
});

test("the square begins in the middle and never leaves the image", () => {
  expect(middle(2000, 300)).toEqual({ x: 744, y: 0, width: 512, height: 300 });
  const region = middle(2000, 1000);
  expect(inside({ ...region, x: -5, y: 900.4 }, 2000, 1000)).toEqual({ x: 0, y: 488, width: 512, height: 512 });
});
