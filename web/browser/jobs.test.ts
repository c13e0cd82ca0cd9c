/** Jobs: what their pages show while and after they run, and what is taken home. */
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

import { expect, inject, test } from "vitest";

import { bytes as asBytes } from "../src/format";
import { words as jobWords } from "../src/pages/job/words";
import { words as listWords } from "../src/pages/jobs/words";
import { discs, imagesFolder, SAMPLE } from "./support/images";
import { ended, images, newJob, resultFile } from "./support/jobs";
import { COMMAND, python } from "./support/service";
import { open, withBrowser } from "./support/test";
import { until } from "./support/until";
import { contentsOf } from "./support/zip";

withBrowser();
const url = inject("url");
const data = inject("data");

test("one corrupt file of ten leaves nine results and one sentence, and is tried again when it is mended", async () => {
  const good = discs();
  const names = [...Array(10).keys()].map((i) => `field ${i}.tif`);
  const files = Object.fromEntries(names.map((name, i) => [name, i === 4 ? good.slice(0, 3000) : good]));
  const folder = await imagesFolder(data, "ten", { files });
  const { page } = await open(`/jobs/${await newJob(url, folder, { name: "Ten images" })}`);
  const failed = page.getByRole("table");
  await failed.getByText("field 4.tif").waitFor();
  expect(await failed.getByRole("row").count()).toBe(2);
  const sentence = await failed.getByRole("row").nth(1).innerText();
  expect(sentence).toMatch(/field 4\.tif[\s\S]+E\d{3}/);
  expect(sentence).not.toMatch(/undefined|Traceback/);
  await page.getByText("9 / 10").first().waitFor();
  await until("nine pictures are there", async () => (await page.getByRole("link", { name: /field \d/ }).count()) === 9);

  await writeFile(join(folder, "field 4.tif"), good);
  await page.getByRole("button", { name: jobWords.retry }).click();
  await page.getByText("10 / 10").first().waitFor();
  await failed.waitFor({ state: "detached" });
});

test("the zip holds the files of the job by their names, and ImageJ sees the labels that the Zarr holds", async () => {
  const job = inject("sampleJob");
  const { page } = await open(`/jobs/${job}`);
  await page.getByRole("button", { name: jobWords.download }).click();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: jobWords.panel.get }).click(),
  ]);
  const zip = await download.path();
  const found = contentsOf(await readFile(zip));
  const name = SAMPLE.replace(/\.tif$/, "");
  const files = ["run.json", "README.txt", "open_in_fiji.ijm", `${name}_labels.tif`, `${name}_cells.csv`, `${name}_labels.ome.zarr/zarr.json`];
  expect([...found.keys()]).toEqual(expect.arrayContaining(files));
  const [image] = await images(url, job);
  for (const path of [image?.record?.outputs?.["labels-tiff"], image?.record?.outputs?.csv]) {
    expect(found.get(String(path))?.equals(await resultFile(url, job, String(path)))).toBe(true);
  }
  const seen = JSON.parse(await python("in_imagej.py", zip)) as Record<string, [inImageJ: number[], inZarr: number[]]>;
  expect(Object.keys(seen)).toEqual([`${name}_labels.tif`]);
  for (const [inImageJ, inZarr] of Object.values(seen)) {
    expect(inImageJ).toEqual(inZarr);
    expect(inImageJ[1]).toBe(image?.record?.objects);
  }
});

test("what a download weighs is told, and a part of the names chooses images", async () => {
  const names = ["plate 1/B02.tif", "plate 1/B03.tif", "plate 2/B02.tif"];
  const folder = await imagesFolder(data, "plates", { files: Object.fromEntries(names.map((name) => [name, discs()])) });
  const id = await newJob(url, folder, { name: "Plates", formats: ["labels-tiff", "csv"] });
  await ended(url, id);
  const { page } = await open(`/jobs/${id}`);
  await page.getByRole("button", { name: jobWords.download }).click();
  await page.getByRole("checkbox", { name: /CSV.*\d (bytes|kB)$/ }).uncheck();
  await page.getByRole("radio", { name: jobWords.panel.some }).check();
  const get = page.getByRole("button", { name: /^Download zip/ });
  expect(await get.isDisabled()).toBe(true);
  await page.getByLabel(jobWords.panel.named, { exact: true }).fill("nothing has this");
  await page.getByText(jobWords.panel.matching(0)).waitFor();
  expect(await get.isDisabled()).toBe(true);
  await page.getByLabel(jobWords.panel.named, { exact: true }).fill("b02");
  await page.getByText(jobWords.panel.matching(2), { exact: true }).waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), get.click()]);
  const found = contentsOf(await readFile(await download.path()));
  expect([...found.keys()].filter((name) => /\.(tif|csv)$/.test(name) && name !== "failures.csv").sort()).toEqual([
    "plate 1/B02_labels.tif", "plate 2/B02_labels.tif",
  ]);
  const bytes = [...found].filter(([name]) => name.endsWith(".tif")).reduce((sum, [, content]) => sum + content.length, 0);
  await page.getByRole("button", { name: jobWords.panel.getSize(asBytes(bytes)) }).waitFor();
});

test("a job that is copied as a command or as Python does the same again where it is pasted", async () => {
  const folder = await imagesFolder(data, "it's to be copied", { files: { "a.tif": discs() } });
  const id = await newJob(url, folder, { formats: ["labels-tiff"], segment: { model: "otsu", diameter_px: 30, channels: [{ role: "nuclear", channels: [1] }] } });
  await ended(url, id);
  const [image] = await images(url, id);
  const labels = await resultFile(url, id, String(image?.record?.outputs?.["labels-tiff"]));
  const { page, context } = await open(`/jobs/${id}`);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.getByRole("button", { name: "More" }).click();
  const pasted = async (name: string, program: string, option: string) => {
    await page.getByRole("menuitem", { name }).click();
    const text = await page.evaluate(() => navigator.clipboard.readText());
    const place = join(data, "pasted", program);
    await mkdir(place, { recursive: true });
    await promisify(execFile)(program, [option, text], { cwd: place, env: { ...process.env, PATH: `${dirname(COMMAND)}:${process.env.PATH}` } });
    return readFile(join(place, "results", "a_labels.tif"));
  };
  expect((await pasted(jobWords.copyCommand, "sh", "-c")).equals(labels)).toBe(true);
  expect((await pasted(jobWords.copyPython, "python", "-c")).equals(labels)).toBe(true);
});

test("names with spaces, µ, emoji and marks are shown as they are, and their results open", async () => {
  const names = ["plate 1/A1, field µ 🦠.tif", "50 % #1?&=.tif", "<b>bold</b>.tif"];
  const folder = await imagesFolder(data, "names", { files: Object.fromEntries(names.map((name) => [name, discs()])) });
  const title = "Zellen µ 🦠 <i>& co</i> ../x";
  const job = await newJob(url, folder, { name: title });
  await ended(url, job);
  const { page } = await open(`/jobs/${job}`);
  await page.getByRole("heading", { name: title }).waitFor();
  for (const name of names) await page.getByRole("link", { name }).waitFor();
  const pictures = page.locator("main img");
  await until("all pictures are loaded", () =>
    pictures.evaluateAll((all) => all.length === 3 && all.every((one) => (one as HTMLImageElement).naturalWidth > 0)),
  );
  await page.goto(`${url}/jobs`);
  await page.getByRole("row", { name: new RegExp("Zellen µ 🦠") }).waitFor();
});

test("the list finds a job by a part of its name, and says when none fits", async () => {
  const { page } = await open("/jobs");
  await page.getByLabel(listWords.filter).fill("sampl");
  await page.getByRole("cell", { name: "Sample", exact: true }).waitFor();
  await page.getByLabel(listWords.filter).fill("nothing is called this");
  await page.getByText(listWords.noMatch).waitFor();
});
