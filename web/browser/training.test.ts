/** From labelled images to a model that serves: trained, watched, stopped, resumed, compared, published. */
import { readFile } from "node:fs/promises";

import type { Page } from "playwright-core";
import { beforeAll, expect, inject, test } from "vitest";

import type { Schemas } from "../src/api/client";
import { words as modelWords } from "../src/pages/models/words";
import { words } from "../src/pages/training/words";
import { seriousFaults } from "./support/axe";
import { discLabels, discs, imagesFolder } from "./support/images";
import { ask } from "./support/jobs";
import { open, withBrowser } from "./support/test";
import { until } from "./support/until";

withBrowser();
const url = inject("url");
/** Long enough for a run that is looked at while it goes on. */
const LONG_MINUTES = "30";
const SHORT_MINUTES = "0.1";
const PATIENCE_MS = 240_000;
let folder: string;

beforeAll(async () => {
  const files: Record<string, Uint8Array> = { "notes.txt": Buffer.from("not an image") };
  for (const [seed, name] of ["a", "b", "c", "d"].entries()) {
    files[`images/${name}.tif`] = discs({ seed });
    files[`labels/${name}.tif`] = discLabels();
  }
  folder = await imagesFolder(inject("data"), "labelled discs", { files });
});

/** Give the folder, a name and a budget, and start. */
async function begin(page: Page, name: string, minutes: string): Promise<void> {
  await page.locator('input[type="file"]').nth(1).setInputFiles(folder);
  await page.getByText(words.data.count(4, 4)).waitFor();
  await page.getByText(words.data.up).waitFor();
  await page.getByLabel(words.new.name).fill(name);
  await page.getByLabel(words.new.minutes).fill(minutes);
  await page.getByRole("button", { name: words.new.start }).click();
  await page.getByRole("heading", { level: 2, name }).waitFor();
}

const state = (page: Page, word: string) => page.getByText(word, { exact: true }).first().waitFor({ timeout: PATIENCE_MS });
const run = async (page: Page) => ask<Schemas["TrainingRun"]>(url, `/training/${new URL(page.url()).pathname.split("/").at(-1)}`);

test("labelled images become a model that is compared with the present one, published, and in the list", { timeout: PATIENCE_MS }, async () => {
  const { page } = await open("/training");
  await page.getByText(words.list.none).waitFor();
  expect(await seriousFaults(page)).toEqual([]);
  await begin(page, "our-discs", SHORT_MINUTES);
  await page.getByRole("heading", { name: words.curves.scores }).waitFor({ timeout: PATIENCE_MS });
  await page.getByRole("button", { name: words.publish.button }).waitFor({ timeout: PATIENCE_MS });
  const compared = page.getByRole("region", { name: words.comparison.title });
  await compared.getByRole("rowheader", { name: words.comparison.measures.f1 }).waitFor({ timeout: PATIENCE_MS });
  expect(await seriousFaults(page)).toEqual([]);

  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: words.download }).click();
  const zip = await readFile(await (await download).path());
  expect(zip.subarray(0, 2).toString()).toBe("PK");

  await page.getByRole("button", { name: words.publish.button }).click();
  await page.getByRole("dialog").getByRole("button", { name: words.publish.go }).click();
  await page.getByText(words.publish.done("our-discs:1.0.0")).waitFor();
  await page.goto(`${url}/models`);
  await page.getByRole("heading", { level: 3, name: "our-discs" }).waitFor();
  expect(await page.getByRole("link", { name: modelWords.use }).count()).toBeGreaterThan(1);
});

test("a run is stopped, goes on from where it was after a reload, and is deleted", { timeout: PATIENCE_MS }, async () => {
  const { page } = await open("/training");
  await begin(page, "long-discs", LONG_MINUTES);
  await page.getByRole("heading", { name: words.curves.loss }).waitFor({ timeout: PATIENCE_MS });
  await page.getByRole("button", { name: words.stop }).click();
  await state(page, words.stopped);
  const before = await run(page);
  expect(before.latest?.step).toBeGreaterThan(0);

  await page.reload();
  await page.getByRole("button", { name: words.resume }).click();
  await until("it goes on", async () => ((await run(page)).latest?.step ?? 0) > (before.latest?.step ?? 0), PATIENCE_MS);
  await page.getByRole("button", { name: words.stop }).click();
  await state(page, words.stopped);

  await page.getByRole("button", { name: words.remove }).click();
  await page.getByRole("button", { name: words.yes }).click();
  await page.getByRole("heading", { level: 2, name: words.title }).waitFor();
  await until("it is gone from the list", async () => (await page.getByText("long-discs").count()) === 0);
});
