/** Every page for everybody: axe finds nothing serious on any, in its main states and dialogs, in light and in dark. */
import type { Page } from "playwright-core";
import { beforeAll, expect, inject, test } from "vitest";

import { words as adminWords } from "../src/pages/admin/words";
import { words as jobWords } from "../src/pages/job/words";
import { words as resultWords } from "../src/pages/results/words";
import { words as segmentWords } from "../src/pages/segment/words";
import { words } from "../src/words";
import { seriousFaults } from "./support/axe";
import { discs, imagesFolder } from "./support/images";
import { ended, newJob } from "./support/jobs";
import { open, withBrowser } from "./support/test";

withBrowser();
const url = inject("url");
const done = `/jobs/${inject("sampleJob")}`;
const image = `${done}/i/0`;
let failed: string;

beforeAll(async () => {
  const files = { "good.tif": discs(), "broken.tif": discs().slice(0, 3000) };
  const id = await newJob(url, await imagesFolder(inject("data"), "one is broken", { files }), { name: "One is broken" });
  await ended(url, id);
  failed = `/jobs/${id}`;
});

const press = (page: Page, name: string) => page.getByRole("button", { name, exact: true }).click();

interface State {
  path: () => string;
  /** From the page as it opens to the state. */
  reach?: (page: Page) => Promise<void>;
}

const dialog = (path: () => string, name: string): State => ({
  path,
  reach: async (page) => {
    await press(page, name);
    await page.getByRole("dialog").waitFor();
  },
});

const tab = (name: string, hash = ""): State => ({
  path: () => image + hash,
  reach: async (page) => {
    await page.getByRole("application").locator("canvas").waitFor();
    await page.getByRole("tab", { name, exact: true }).click();
    await page.getByRole("tabpanel").waitFor();
  },
});

const STATES: Record<string, State> = {
  "Segment without images": { path: () => "/" },
  "Segment with a preview and an open question": {
    path: () => "/",
    reach: async (page) => {
      const files = ["a.tif", "b.tif"].map((name, seed) => ({ name, mimeType: "image/tiff", buffer: Buffer.from(discs({ seed })) }));
      await page.locator('input[type="file"]').first().setInputFiles(files);
      await page.getByText(/\d+ objects here/).waitFor();
      await press(page, segmentWords.find.advanced);
      await page.getByLabel(segmentWords.find.diameter).waitFor();
    },
  },
  "the question for an address": dialog(() => "/", segmentWords.drop.address),
  Jobs: { path: () => "/jobs" },
  "a job": { path: () => done },
  "a job with a failed image": { path: () => failed, reach: (page) => page.getByRole("table").waitFor() },
  "the download panel": dialog(() => done, jobWords.download),
  "what else can be done with a job": {
    path: () => done,
    reach: async (page) => {
      await press(page, "More");
      await page.getByRole("menu").waitFor();
    },
  },
  "the question before a job is deleted": {
    path: () => done,
    reach: async (page) => {
      await press(page, "More");
      await page.getByRole("menuitem", { name: jobWords.remove }).click();
      await page.getByRole("dialog").waitFor();
    },
  },
  Results: { path: () => image, reach: (page) => page.getByRole("application").locator("canvas").waitFor() },
  "an object of the results": tab(resultWords.tabs.measure, "#object=1"),
  "the images beside the results": tab(resultWords.tabs.images),
  "the comparison of two runs": tab(resultWords.tabs.compare),
  Models: { path: () => "/models" },
  Training: { path: () => "/training" },
  Admin: { path: () => "/admin" },
  "a new token": dialog(() => "/admin", adminWords.make),
  Help: { path: () => "/help" },
  "an address without a page": {
    path: () => "/jobs/none/of/these",
    reach: (page) => page.getByRole("heading", { name: words.nowhere.title }).waitFor(),
  },
};

for (const [name, { path, reach }] of Object.entries(STATES)) {
  test(`axe finds nothing serious: ${name}`, async () => {
    const { page } = await open(path());
    await page.getByRole("heading", { level: 2 }).first().waitFor();
    await page.waitForLoadState("networkidle");
    await reach?.(page);
    expect(await seriousFaults(page)).toEqual([]);
  });
}
