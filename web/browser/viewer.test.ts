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
import { difference, Labels, look, type Box } from "./support/pictures";
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

test("two runs side by side have the counts of their tables", async () => {
  const folder = await imagesFolder(data, "nuclei", {});
  const otherJob = await newJob(url, folder, { name: "Otsu", segment: { model: "otsu" } });
  await ended(url, otherJob);
  const [other] = await images(url, otherJob);
  const { page } = await openImage(`#compare=${otherJob}`);
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
