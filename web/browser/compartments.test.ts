/** Cells and nuclei of one model: what is outlined is chosen before the run, and shown or hidden in the viewer and its link. */
import type { Page } from "playwright-core";
import { beforeAll, expect, inject, test } from "vitest";

import type { Schemas } from "../src/api/client";
import { objectWords } from "../src/pages/results/words";
import { words } from "../src/pages/segment/words";
import { NO_ANSWER } from "./support/browser";
import { imagesFolder, samplePath } from "./support/images";
import { ended, newJob } from "./support/jobs";
import { open, withBrowser } from "./support/test";
import { until } from "./support/until";

withBrowser();
const [url, data] = [inject("url"), inject("data")];
const SAMPLE = "cell_painting.ome.tif";
const PATIENCE_MS = 240_000;
/** Of both compartments; it is worked on while the first test goes on. */
let job: string;

beforeAll(async () => {
  const folder = await imagesFolder(data, "two compartments", { samples: [SAMPLE] });
  const channels = [{ role: "nuclear", channels: [1] }, { role: "membrane", channels: [2] }];
  job = await newJob(url, folder, { segment: { model: "tissue", channels } });
});

async function channel(page: Page, role: string, option: RegExp) {
  await page.getByRole("combobox", { name: words.find.channel(role) }).click();
  await page.getByRole("option", { name: option }).first().click();
  await page.keyboard.press("Escape");
}

test("of a model that finds cells and nuclei, nuclei alone are asked for; the predicted image is offered with workflows only", { timeout: PATIENCE_MS }, async () => {
  // A workflow has no use for this image: its preview is refused.
  const { page } = await open("/", { expected: NO_ANSWER });
  await page.locator('input[type="file"]').first().setInputFiles(samplePath(SAMPLE));
  await page.getByRole("radio", { name: /^tissue/ }).click();
  await channel(page, "nuclear", /DNA/);
  await channel(page, "membrane", /2/);
  await page.getByText(words.find.outlined.alone.nuclear, { exact: true }).click();
  await page.getByRole("button", { name: words.find.advanced }).click();
  const predicted = page.getByRole("checkbox", { name: words.formats["predicted-tiff"][0] });
  expect(await predicted.count()).toBe(0);

  await page.getByRole("radio", { name: /^brightfield-nuclei \d/ }).click();
  await predicted.waitFor();
  expect(await page.getByText(words.find.outlined.label).count()).toBe(0);

  await page.getByRole("radio", { name: /^tissue/ }).click();
  const asked = page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith("/api/v1/jobs"));
  await page.getByRole("button", { name: words.before.button(1, false) }).click();
  const { segment } = (await asked).postDataJSON() as Schemas["JobRequest"];
  expect([segment.model, segment.compartment]).toEqual(["tissue", "nuclear"]);
});

test("a link tells whether the nuclei of cells are outlined", { timeout: PATIENCE_MS }, async () => {
  await ended(url, job);
  const { page } = await open(`/jobs/${job}/i/0`);
  const nuclei = page.getByLabel(objectWords.nuclei);
  await until("they are outlined", () => nuclei.isChecked());
  await nuclei.click();
  const link = await until("the address tells it", () => (page.url().includes("nuclei=0") ? page.url() : undefined));
  const { page: other } = await open(link.slice(url.length));
  await other.getByLabel(objectWords.nuclei).waitFor();
  expect(await other.getByLabel(objectWords.nuclei).isChecked()).toBe(false);
});
