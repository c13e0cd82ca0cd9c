/** Long lists stay fluid: a list of 100 000 jobs, and a job of 10 000 images. No worker: nothing here is segmented. */
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";

import { words as listWords } from "../src/pages/jobs/words";
import { newToken, python, Service } from "./support/service";
import { open, withBrowser } from "./support/test";
import { until } from "./support/until";

const JOBS = Number(process.env.CELLFLEET_MANY_JOBS ?? 100_000);
const IMAGES = 10_000;
/** To make them, also on a machine that does much else. */
const PATIENCE_MS = 300_000;
/** Longest main-thread work that an interaction may bring, ms; the machine of the tests may do much else. */
const FLUID_MS = 200;

withBrowser();
let service: Service;
let ann: string;
let large: string;

beforeAll(async () => {
  service = await Service.start(["--workers", "0"], async (data) => {
    ann = await newToken(data, "ann");
  });
  large = await python("fill.py", service.data, "ann", String(JOBS), String(IMAGES));
}, PATIENCE_MS);
afterAll(() => service.stop());

/** Watch how long the page's main thread is held; the longest time is returned and forgotten. */
async function watchLongest(page: Page) {
  await page.evaluate(() => {
    const seen = (globalThis as { held?: number[] }).held ?? [];
    Object.assign(globalThis, { held: seen });
    new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => seen.push(duration))).observe({ type: "longtask" });
  });
  return () =>
    page.evaluate(() => {
      const seen = (globalThis as { held?: number[] }).held ?? [];
      return Math.max(0, ...seen.splice(0));
    });
}

/** How much slower this machine is now than one that has nothing else to do. */
function slowness(page: Page) {
  return page.evaluate(() => {
    const begun = performance.now();
    let sum = 0;
    for (let i = 0; i < 2e7; i++) sum = (sum + i * i) % 1_000_003;
    return Math.max(1, (performance.now() - begun + 0 * sum) / 120);
  });
}

test(`a list of ${JOBS} jobs stays fluid, and holds few rows`, async () => {
  const { page } = await open("/jobs", { at: service.url, token: ann });
  const table = page.getByRole("table");
  await table.getByRole("row").nth(5).waitFor();
  const factor = await slowness(page);
  const longest = await watchLongest(page);
  const deep = () => page.evaluate(() => Number(document.querySelector("[aria-rowcount]")?.getAttribute("aria-rowcount")));
  await until("3000 jobs are listed by scrolling", async () => {
    await table.evaluate((frame) => frame.scrollTo(0, frame.scrollHeight));
    return (await deep()) > 3000;
  });
  expect(await table.getByRole("row").count()).toBeLessThan(80);
  expect(await longest()).toBeLessThan(FLUID_MS * factor);
  await page.getByLabel(listWords.filter).fill("plate 1234");
  await page.getByText("Plate 1234", { exact: true }).waitFor();
  expect(await longest()).toBeLessThan(FLUID_MS * factor);
});

test(`a job of ${IMAGES} images stays fluid while its images are scrolled through`, async () => {
  const { page } = await open(`/jobs/${large}`, { at: service.url, token: ann });
  await page.getByText("10 000 / 10 000").first().waitFor();
  await page.getByRole("link", { name: "plate 0/well 000.tif" }).waitFor();
  const factor = await slowness(page);
  const longest = await watchLongest(page);
  await until("600 images are listed by scrolling", async () => {
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    return page.getByRole("link", { name: "plate 1/well 215.tif" }).count();
  });
  expect(await longest()).toBeLessThan(FLUID_MS * factor);
});
