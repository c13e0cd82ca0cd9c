/** A job goes on whatever becomes of the page and of the service. */
import { readFile } from "node:fs/promises";

import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";

import { words as jobWords } from "../src/pages/job/words";
import { NO_ANSWER } from "./support/browser";
import { imagesFolder, samplePath } from "./support/images";
import { ask, newJob } from "./support/jobs";
import { Service } from "./support/service";
import { open, withBrowser } from "./support/test";
import { until } from "./support/until";

const IMAGES = 400;

withBrowser();
let service: Service;
let folder: string;

beforeAll(async () => {
  service = await Service.start();
  const sample = await readFile(samplePath("dense_nuclei.tif"));
  const files = Object.fromEntries([...Array(IMAGES).keys()].map((i) => [`${i}.tif`, sample]));
  folder = await imagesFolder(service.data, "many", { files });
});
afterAll(() => service.stop());

/** Hand in a job over all images, which does not outlive its test. */
async function longJob(name: string): Promise<string> {
  const id = await newJob(service.url, folder, { name, segment: { model: "nuclei" } });
  onTestFinished(() => ask(service.url, `/jobs/${id}/cancel`, { method: "POST" }).then(() => undefined, () => undefined));
  return id;
}

/** How many images the page says are done. */
const done = async (page: Page) => Number((await page.getByText(/\d+ \/ 400 images/).first().innerText()).split(" ")[0]);
const begun = (page: Page, more: number) =>
  until(`more than ${more} images are done`, async () => ((await done(page)) > more ? done(page) : undefined));

test("a page that is loaded again, closed and opened finds the same job, which goes on", async () => {
  const id = await longJob("Long");
  const { page, context } = await open(`/jobs/${id}`, { at: service.url });
  const first = await begun(page, 0);
  await page.reload();
  const second = await begun(page, first);
  await page.close();
  const again = await context.newPage();
  await again.goto(`${service.url}/jobs`);
  await again.getByRole("row", { name: /Long/ }).click();
  await again.waitForURL(new RegExp(id));
  await begun(again, second);
  await again.getByRole("button", { name: jobWords.cancel }).click();
  await again.getByRole("button", { name: jobWords.yes, exact: true }).click();
  await again.getByText("cancelled", { exact: true }).waitFor();
});

test("while the service is away a banner says so; when it is back the job goes on by itself", async () => {
  const id = await longJob("Restart");
  const { page } = await open(`/jobs/${id}`, { at: service.url, expected: NO_ANSWER });
  const first = await begun(page, 0);
  await service.kill();
  const banner = page.getByText(/Connection lost; the job goes on/);
  await banner.waitFor();
  expect(await done(page)).toBeGreaterThanOrEqual(first);
  await service.again();
  await banner.waitFor({ state: "detached" });
  await begun(page, first);
});
