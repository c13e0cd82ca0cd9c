/** Results over their own pixels: outlines where the labels change, and the table's row of what one points at. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

import type { Page } from "playwright-core";
import { beforeAll, expect, inject, test } from "vitest";

import { shown, describe as described } from "../src/pages/results/columns";
import { compareWords } from "../src/pages/results/words";
import { fromHash } from "../src/pages/results/url";
import { imagesFolder } from "./support/images";
import { ended, images, newJob } from "./support/jobs";
import { difference, Labels, look, type Box, type Picture } from "./support/pictures";
import { open, withBrowser } from "./support/test";
import { until } from "./support/until";

const POINTS = 20;

withBrowser();
const url = inject("url");
const data = inject("data");
const job = inject("sampleJob");
let labels: Labels;
let table: Record<string, string>[];

beforeAll(async () => {
  const [image] = await images(url, job);
  const outputs = image?.record?.outputs ?? {};
  const result = (path?: string) => join(data, "store/results", job, String(path));
  labels = await Labels.read(result(outputs["labels-tiff"]));
  const [head = "", ...rows] = (await readFile(result(outputs.csv), "utf8")).trim().split(/\r?\n/);
  const names = head.split(",");
  table = rows.map((row) => Object.fromEntries(row.split(",").map((value, i) => [names[i], value])));
});

interface Opened {
  page: Page;
  box: Box;
  /** Place of the image → place on the screen. */
  onScreen: (x: number, y: number) => { x: number; y: number };
}

async function openImage(hash = ""): Promise<Opened> {
  const { page } = await open(`/jobs/${job}/i/0${hash}`);
  const canvas = page.getByRole("application");
  await canvas.locator("canvas").waitFor();
  const view = await until("the address tells the view", () => fromHash(new URL(page.url()).hash).view);
  const box = await until("the canvas has its place", () => canvas.boundingBox());
  const scale = 2 ** view.zoom;
  const onScreen = (x: number, y: number) => ({
    x: box.x + box.width / 2 + (x - view.x) * scale,
    y: box.y + box.height / 2 + (y - view.y) * scale,
  });
  return { page, box, onScreen };
}

/** Share of the places in the middle of pixels at which something is true. */
function share<T>(all: T[], isTrue: (one: T) => boolean): number {
  return all.filter(isTrue).length / Math.max(1, all.length);
}

test("outlines are drawn where the labels change, and nowhere else", async () => {
  const { page, box, onScreen } = await openImage("#fill=0&outlines=1");
  const [from, to] = [onScreen(8, 8), onScreen(labels.width - 8, labels.height - 8)];
  const clip = { x: Math.ceil(from.x), y: Math.ceil(from.y), width: Math.floor(to.x - from.x), height: Math.floor(to.y - from.y) };
  const scale = (to.x - from.x) / (labels.width - 16);
  await page.mouse.move(box.x - 5, box.y - 5);
  await page.getByRole("application").focus();
  const drawn = await until("outlines are on the screen, and go with O", async () => {
    const on = await look(page, clip);
    await page.keyboard.press("o");
    const off = await look(page, clip);
    await page.keyboard.press("o");
    const changed = [...Array(on.width * on.height).keys()].filter((at) => difference(on, off, at) > 40);
    return changed.length > 500 ? { changed, width: on.width } : undefined;
  });
  const inImage = (at: number) => ({ x: 8 + (at % drawn.width) / scale, y: 8 + Math.floor(at / drawn.width) / scale });
  expect(share(drawn.changed.map(inImage), ({ x, y }) => labels.changesNear(x, y, 2))).toBeGreaterThan(0.97);
  const objects = table.filter(({ label }) => {
    const row = table.find((one) => one.label === label);
    return Number(row?.area_px) > 30;
  });
  const outlined = new Set(drawn.changed.map(inImage).map(({ x, y }) => labels.at(x, y)));
  expect(share(objects, ({ label }) => outlined.has(Number(label)))).toBeGreaterThan(0.95);
});

/** Whether the centre of an object is a part of it: of a hollow one it may be another's, or nobody's. */
const isOnItself = (row: Record<string, string>) => labels.at(Number(row.x_px), Number(row.y_px)) === Number(row.label);

/** Some of all, drawn as a seeded generator (Numerical Recipes' LCG) says: the same in every run. */
function atRandom<T>(all: T[], wanted: number): T[] {
  let state = 20_261;
  const key = () => (state = (1_664_525 * state + 1_013_904_223) % 2 ** 32);
  const keyed = all.map((one) => [key(), one] as const).sort(([one], [other]) => one - other);
  return keyed.slice(0, wanted).map(([, one]) => one);
}

test(`what one points at is the row of the table, at ${POINTS} random places`, async () => {
  const { page, onScreen } = await openImage();
  const rows = atRandom(table.filter(isOnItself), POINTS);
  expect(rows.length).toBe(POINTS);
  const card = page.getByTestId("hover-card");
  for (const row of rows) {
    const [x, y, label] = [Number(row.x_px), Number(row.y_px), row.label];
    const place = onScreen(Math.floor(x) + 0.5, Math.floor(y) + 0.5);
    await until(`the card of object ${label} is shown`, async () => {
      await page.mouse.move(place.x + 3, place.y);
      await page.mouse.move(place.x, place.y);
      return (await card.getAttribute("data-label", { timeout: 2000 })) === label;
    });
    const told = await card.locator("[data-column]").evaluateAll((all) => all.map((one) => [one.getAttribute("data-column"), one.querySelector("dd")?.textContent]));
    expect(told.length).toBeGreaterThan(3);
    for (const [column, value] of told) {
      const unit = described(String(column)).unit;
      expect(value).toBe(`${shown(Number(row[String(column)]))} ${unit}`.trim());
    }
  }
});

test("a click keeps the row, and a link to the view shows it to somebody else", async () => {
  const { page, onScreen } = await openImage();
  const row = table.find(isOnItself);
  const place = onScreen(Math.floor(Number(row?.x_px)) + 0.5, Math.floor(Number(row?.y_px)) + 0.5);
  const pinned = page.getByTestId("pinned-card");
  await until("the object is pinned", async () => {
    await page.mouse.click(place.x, place.y);
    return (await pinned.count()) > 0;
  });
  const text = await pinned.innerText();
  await until("the address follows", () => page.url().includes(`object=${row?.label}`));
  const other = await open(new URL(page.url()).pathname + new URL(page.url()).hash);
  await until("the other sees the same", async () => (await other.page.getByTestId("pinned-card").innerText()) === text);
});

let otherRun: Promise<string> | undefined;

/** A job over the same image by another model; made once. */
async function otherJob(): Promise<string> {
  otherRun ??= imagesFolder(data, "nuclei", {}).then((folder) => newJob(url, folder, { name: "Otsu", segment: { model: "otsu" } }));
  await ended(url, await otherRun);
  return otherRun;
}

test("two runs side by side have the counts of their tables", async () => {
  const chosen = await otherJob();
  const [other] = await images(url, chosen);
  const { page } = await openImage(`#compare=${chosen}`);
  const panel = page.getByRole("tabpanel");
  const counts = await until("objects are matched", async () => {
    const told = (await panel.innerText()).replaceAll("\u2009", "");
    const [same, lost, added] = [compareWords.same, compareWords.lost, compareWords.added].map((name) =>
      new RegExp(`${name}\\s+(\\d+)`).exec(told)?.[1],
    );
    return same && lost && added ? { same: Number(same), lost: Number(lost), added: Number(added) } : undefined;
  });
  expect(counts.same + counts.lost).toBe(table.length);
  expect(counts.same + counts.added).toBe(other?.record?.objects);
});

/** The picture when it has settled. */
async function settled(page: Page, clip: Box): Promise<Picture> {
  let before = await look(page, clip);
  return until("the picture stands still", async () => {
    const now = await look(page, clip);
    const still = changed(before, now).length === 0;
    before = now;
    return still ? now : undefined;
  });
}

/** Pixels that differ, by their places from the left, 0…1. */
const changed = (one: Picture, other: Picture) =>
  [...Array(one.width * one.height).keys()].filter((at) => difference(one, other, at) > 40).map((at) => (at % one.width) / one.width);

test("swiping shows one run on each side of the border, and blinking one after the other", async () => {
  const { page, box } = await openImage(`#fill=0&compare=${await otherJob()}&mode=swipe`);
  const clip = { x: Math.ceil(box.x), y: Math.ceil(box.y + box.height / 4), width: Math.floor(box.width), height: Math.floor(box.height / 4) };
  const border = page.getByRole("slider", { name: compareWords.border });
  await border.focus();
  const at = async (key: string) => {
    await page.keyboard.press(key);
    return settled(page, clip);
  };
  const there = await at("Home");
  const here = await until("the two runs differ on the screen", async () => {
    const found = await at("End");
    return changed(found, there).length > 500 ? found : undefined;
  });
  await page.keyboard.press("Home");
  for (let step = 0; step < 4; step++) await page.keyboard.press("PageUp");
  const both = await at("PageUp");
  expect(await border.getAttribute("aria-valuenow")).toBe("50");
  // The border itself is drawn, too.
  expect(changed(both, here).filter((place) => place < 0.45)).toEqual([]);
  expect(changed(both, there).filter((place) => place > 0.55)).toEqual([]);

  await page.getByText(compareWords.modes.blink, { exact: true }).click();
  await border.waitFor({ state: "detached" });
  // Nothing moves by itself for who wants it so.
  expect(await page.getByLabel(compareWords.blinking).isChecked()).toBe(false);
  await page.getByRole("application").focus();
  const turns = [await settled(page, clip), await at("b"), await at("b")] as const;
  const inMiddle = (one: Picture, other: Picture) => changed(one, other).filter((place) => place > 0.1 && place < 0.45).length;
  expect([inMiddle(turns[0], here), inMiddle(turns[1], there), inMiddle(turns[2], here)]).toEqual([0, 0, 0]);
  expect(inMiddle(turns[0], turns[1])).toBeGreaterThan(100);
});
