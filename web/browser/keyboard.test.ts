/** With the keyboard alone: from files to results, a failed image tried again, and what is taken home. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { expect, inject, test } from "vitest";

import { words as jobWords } from "../src/pages/job/words";
import { words as listWords } from "../src/pages/jobs/words";
import { objectWords, words as resultWords } from "../src/pages/results/words";
import { words as segmentWords } from "../src/pages/segment/words";
import { words } from "../src/words";
import { difference, look } from "./support/pictures";
import { discs, imagesFolder } from "./support/images";
import { ended, newJob } from "./support/jobs";
import { enter, tabTo } from "./support/keys";
import { open, withBrowser } from "./support/test";
import { until } from "./support/until";
import { contentsOf } from "./support/zip";

withBrowser();
const url = inject("url");

test("files are chosen, their question is answered, and their job is made", async () => {
  const { page } = await open("/");
  await page.getByRole("heading", { level: 2 }).waitFor();
  await enter(page, words.skip);
  const chosen = page.waitForEvent("filechooser");
  await enter(page, segmentWords.drop.files);
  const names = ["first.tif", "second.tif"];
  await (await chosen).setFiles(names.map((name, seed) => ({ name, mimeType: "image/tiff", buffer: Buffer.from(discs({ seed })) })));
  await page.getByText(/\d+ objects here/).waitFor();
  await tabTo(page, segmentWords.pixelSize.label);
  await page.keyboard.type("0.5");
  await page.getByText(/median diameter [\d.]+ µm/).waitFor();
  await tabTo(page, segmentWords.before.name);
  await page.keyboard.type("By keyboard");
  await enter(page, segmentWords.before.button(2, false));
  await page.waitForURL(/\/jobs\/./);
  await page.getByRole("heading", { name: "By keyboard" }).waitFor();
  await page.getByText("2 / 2").first().waitFor();
});

test("a job is found in the list, and its results are looked at and downloaded", async () => {
  const { page } = await open("/");
  await page.getByRole("heading", { level: 2 }).waitFor();
  await enter(page, words.nav.jobs);
  await page.getByRole("row", { name: /Sample/ }).waitFor();
  await tabTo(page, listWords.filter);
  await page.keyboard.type("Sample");
  await enter(page, "Sample");
  await page.getByRole("heading", { name: "Sample" }).waitFor();
  await enter(page, "large_nuclei.tif");

  const canvas = page.getByRole("application");
  await canvas.locator("canvas").waitFor();
  await tabTo(page, resultWords.canvas("large_nuclei.tif").slice(0, 30));
  const clip = await until("the canvas has its place", () => canvas.boundingBox());
  const changes = async (key: string) => {
    const before = await look(page, clip);
    await page.keyboard.press(key);
    const after = await look(page, clip);
    return [...Array(before.width * before.height).keys()].filter((at) => difference(before, after, at) > 40).length > 500;
  };
  for (const key of ["o", "+", "ArrowRight", "0"]) await until(`${key} changes the picture`, () => changes(key));
  // What draws the picture would take it away.
  expect(await canvas.evaluate((on) => getComputedStyle(on).outlineStyle)).toBe("solid");
  await tabTo(page, resultWords.tabs.view);
  await page.keyboard.press("ArrowRight");
  await tabTo(page, objectWords.goto);
  await page.keyboard.type("7");
  await page.keyboard.press("Enter");
  await until("object 7 is shown", async () => (await page.getByTestId("pinned-card").innerText()).startsWith(objectWords.name(7)));

  await enter(page, words.nav.jobs);
  await enter(page, "Sample");
  await page.getByRole("heading", { name: "Sample" }).waitFor();
  await enter(page, jobWords.download);
  await page.getByRole("dialog").waitFor();
  const saved = page.waitForEvent("download");
  await enter(page, jobWords.panel.get);
  expect([...contentsOf(await readFile(await (await saved).path())).keys()]).toContain("run.json");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await until("the focus is where it was", async () => (await page.locator(":focus").innerText()) === jobWords.download);
});

test("a failed image is tried again when it is mended", async () => {
  const good = discs();
  const folder = await imagesFolder(inject("data"), "keyboard", { files: { "a.tif": good, "b.tif": good.slice(0, 3000) } });
  const job = await newJob(url, folder, { name: "Half" });
  await ended(url, job);
  const { page } = await open(`/jobs/${job}`);
  await page.getByRole("table").getByText("b.tif").waitFor();
  await writeFile(join(folder, "b.tif"), good);
  await enter(page, jobWords.retry);
  await page.getByText("2 / 2").first().waitFor();
});
