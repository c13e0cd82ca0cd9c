/** How images come to the page: folders, zips, places of the server, another job's; and where a preview is moved. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { Locator, Page } from "playwright-core";
import { expect, inject, test } from "vitest";

import { words } from "../src/pages/segment/words";
import { words as shared } from "../src/words";
import { seriousFaults } from "./support/axe";
import { NO_ANSWER } from "./support/browser";
import { discs, imagesFolder } from "./support/images";
import { ended, newJob } from "./support/jobs";
import { newToken, Service } from "./support/service";
import { open, withBrowser } from "./support/test";
import { until } from "./support/until";
import { zipOf } from "./support/zipped";

withBrowser();
const [url, data] = [inject("url"), inject("data")];

const row = (page: Page, name: string) => page.getByRole("row").filter({ hasText: name });
const run = (page: Page) => page.getByRole("button", { name: /^Segment [\d\s]+\+? image/ });

/** Files in a folder of this machine; return its path. */
async function folderOf(name: string, files: Record<string, Uint8Array>): Promise<string> {
  const top = join(data, "dropped", name);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(top, path)), { recursive: true });
    await writeFile(join(top, path), content);
  }
  return top;
}

/** Let files and folders of this machine fall on the page, as from a window of files. */
async function dropPaths(page: Page, files: string[]) {
  const zone = page.getByRole("region", { name: words.drop.label });
  const box = await boxOf(zone);
  const session = await page.context().newCDPSession(page);
  const place = { x: box.x + box.width / 2, y: box.y + 10, data: { items: [], files, dragOperationsMask: 1 } };
  for (const type of ["dragEnter", "dragOver", "drop"] as const) await session.send("Input.dispatchDragEvent", { type, ...place });
}

async function boxOf(shown: Locator) {
  const box = await shown.boundingBox();
  if (!box) throw new Error("it is not to be seen");
  return box;
}

/** Where the square of the preview says that it is, px from the left and from the top. */
async function placeOf(square: Locator): Promise<number[]> {
  const label = (await square.getAttribute("aria-label")) ?? "";
  return (/(\d+) px from the left, (\d+) px from the top/.exec(label) ?? []).slice(1).map(Number);
}

/** The inputs of the job that the page asks for. */
async function inputsAskedFor(page: Page): Promise<string[]> {
  const asked = page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith("/api/v1/jobs"));
  await run(page).click();
  return ((await asked).postDataJSON() as { inputs: string[] }).inputs;
}

async function jobOf(page: Page) {
  await page.waitForURL(/\/jobs\/./);
  return ended(url, page.url().split("/").at(-1) as string);
}

test("a dropped folder keeps its folders, says what is left out, and a zip in it is not passed over", async () => {
  const top = await folderOf("plate 7", {
    "A/a 1.tif": discs({ seed: 1 }),
    "A/deep/er/µ.tif": discs({ seed: 2 }),
    "B/more.zip": zipOf({ "z1.tif": discs({ seed: 3 }), "z2.tif": discs({ seed: 4 }) }),
    "notes.txt": Buffer.from("hello"),
  });
  const { page } = await open("/");
  await dropPaths(page, [top]);
  await page.getByText(/1 file is left out, because no image: \.txt/).waitFor();
  await until("the zip is listed", async () => (await row(page, "B/more.zip").innerText()).includes("2 images inside"));
  await row(page, "plate 7/A/deep/er/µ.tif").waitFor();
  await until("the job can be made", () => run(page).isEnabled());
  const inputs = await inputsAskedFor(page);
  expect(inputs.map((one) => one.replace(/^set:[^/]+/, "set:ID"))).toEqual(["set:ID", "set:ID/plate 7/B/more.zip"]);
  const job = await jobOf(page);
  expect([job.progress.images, job.progress.images_failed, job.name]).toEqual([4, 0, "plate 7"]);
});

test("a zip alone is a job over what is in it", async () => {
  const top = await folderOf("alone", { "old exports.zip": zipOf({ "a.tif": discs({ seed: 5 }), "b.tif": discs({ seed: 6 }) }) });
  const { page } = await open("/");
  await dropPaths(page, [join(top, "old exports.zip")]);
  await page.getByRole("button", { name: words.before.button(2, false), disabled: false }).waitFor();
  expect((await inputsAskedFor(page)).map((one) => one.split("/").slice(1).join("/"))).toEqual(["old exports.zip"]);
  expect((await jobOf(page)).progress.images).toBe(2);
});

test("a folder of two thousand files is taken without the page standing still, and can be removed again", async () => {
  const small = discs({ side: 16, step: 8 });
  const names = Array.from({ length: 2000 }, (_, number) => `r${Math.floor(number / 100)}/f${number}.tif`);
  const top = await folderOf("many", Object.fromEntries(names.map((name) => [name, small])));
  const { page } = await open("/");
  await dropPaths(page, [top]);
  await page.getByRole("heading", { name: /2\s000 images/ }).waitFor();
  expect(await page.getByRole("row").count()).toBeLessThan(40);
  await until("some are up", async () => /uploading/.test(await page.locator("main").innerText()));
  await page.evaluate(() => {
    Object.assign(window, { longest: 0 });
    let last = performance.now();
    const tick = () => {
      const now = performance.now();
      Object.assign(window, { longest: Math.max((window as unknown as { longest: number }).longest, now - last) });
      last = now;
      requestAnimationFrame(tick);
    };
    tick();
  });
  await page.getByRole("table").evaluate((table) => table.scrollTo(0, 40_000));
  await row(page, "f7").first().waitFor();
  await page.getByRole("button", { name: words.files.clear }).click();
  await page.getByRole("button", { name: /large_nuclei/ }).waitFor();
  expect(await page.evaluate(() => (window as unknown as { longest: number }).longest)).toBeLessThan(2000);
});

test("a folder of the server is looked through, counted, and taken as a whole", async () => {
  const top = await imagesFolder(data, "lab share", {
    files: { "plate 1/a.tif": discs({ seed: 7 }), "plate 1/deep/b.tif": discs({ seed: 8 }), "plate 2/c.tif": discs({ seed: 9 }), "old.zip": zipOf({}), "x.txt": Buffer.from("x") },
  });
  const { page } = await open("/", { expected: NO_ANSWER });
  await page.getByRole("button", { name: words.drop.address }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(words.place.label).fill("/nothing/here");
  await page.keyboard.press("Enter");
  await dialog.getByRole("alert").getByText(/no such file or folder/).waitFor();
  await dialog.getByLabel(words.place.label).fill(top);
  await page.keyboard.press("Enter");
  await dialog.getByText(words.place.found(3, false, "0.049 Mpx")).waitFor();
  expect(await dialog.getByText("x.txt").count()).toBe(0);
  expect(await seriousFaults(page)).toEqual([]);
  await dialog.getByRole("button", { name: "plate 1" }).click();
  await dialog.getByText(words.place.found(2, false, "0.033 Mpx")).waitFor();
  await dialog.getByRole("button", { name: words.place.up }).click();
  await dialog.getByRole("button", { name: "plate 2" }).waitFor();
  await dialog.getByRole("button", { name: words.place.addFolder }).click();
  await until("the job can be made", () => run(page).isEnabled());
  expect(await inputsAskedFor(page)).toEqual([top]);
  expect((await jobOf(page)).progress.images_done).toBe(3);
});

test("single images of the server's folder are chosen, and the folder is remembered", async () => {
  const top = await imagesFolder(data, "chosen", { files: { "a.tif": discs({ seed: 10 }), "b.tif": discs({ seed: 11 }), "c.tif": discs({ seed: 12 }) } });
  const { page } = await open("/");
  await page.getByRole("button", { name: words.drop.address }).click();
  await page.getByLabel(words.place.label).fill(top);
  await page.keyboard.press("Enter");
  for (const name of ["a.tif", "c.tif"]) await page.getByRole("checkbox", { name: new RegExp(name) }).check();
  await page.getByRole("button", { name: words.place.addChosen(2) }).click();
  await row(page, "c.tif").waitFor();
  await page.getByRole("button", { name: words.drop.address }).click();
  await page.getByRole("dialog").getByText(words.place.lately).waitFor();
  await page.keyboard.press("Escape");
  await until("the job can be made", () => run(page).isEnabled());
  expect(await inputsAskedFor(page)).toEqual([`${top}/a.tif`, `${top}/c.tif`]);
});

test("a job is taken up again with its images and settings, and one that is not there says so", async () => {
  const folder = await imagesFolder(data, "again", { files: { "a.tif": discs({ seed: 13 }) } });
  const job = await newJob(url, folder, { name: "The first", segment: { model: "otsu", diameter_px: 33, microns_per_pixel: 0.25 } });
  const { page } = await open(`/?again=${job}`, { expected: NO_ANSWER });
  await row(page, "again").waitFor();
  await until("the job can be made", () => run(page).isEnabled());
  expect(await page.getByRole("radio", { name: /^otsu/ }).getAttribute("aria-checked")).toBe("true");
  expect(new URL(page.url()).search).toBe("");
  const asked = page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith("/api/v1/jobs"));
  await run(page).click();
  const body = (await asked).postDataJSON() as { name: string; inputs: string[]; segment: Record<string, unknown> };
  expect([body.name, body.inputs, body.segment.diameter_px, body.segment.microns_per_pixel]).toEqual(["The first", [folder], 33, 0.25]);
  await page.goto(`${url}/?again=no-such-job`);
  await page.getByRole("alert").getByText(/no such job/).waitFor();
});

test("who comes from a model's card has this model chosen", async () => {
  const { page } = await open("/models");
  await page.locator('a[href*="model=otsu"]').click();
  await page.getByRole("button", { name: /small_nuclei/ }).click();
  await page.getByText(/\d+ objects here/).waitFor();
  expect(await page.getByRole("radio", { name: /^otsu/ }).getAttribute("aria-checked")).toBe("true");
});

test("the square of the preview is dragged and moved by keys; what became of an older place is not waited for", async () => {
  const folder = await imagesFolder(data, "wide", { files: { "wide.tif": discs({ side: 2048, seed: 14, micronsPerPixel: 0.5 }) } });
  const { page } = await open("/");
  await page.getByRole("button", { name: words.drop.address }).click();
  await page.getByLabel(words.place.label).fill(`${folder}/wide.tif`);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: words.place.add, exact: true }).click();
  await page.getByText(/\d+ objects here/).waitFor();
  const square = page.getByRole("application", { name: /Region of the preview/ });
  const place = () => placeOf(square);
  expect(await place()).toEqual([768, 768]);
  const regions: unknown[] = [];
  let hold = true;
  await page.route("**/api/v1/preview", async (route) => {
    regions.push((route.request().postDataJSON() as { region: unknown }).region);
    if (hold) await new Promise((resolve) => page.once("requestfailed", resolve));
    await route.continue().catch(() => undefined);
  });
  const ended = page.waitForEvent("requestfailed", (request) => request.url().endsWith("/preview"));
  await square.focus();
  await page.keyboard.press("ArrowRight");
  await until("the new place is asked for", () => regions.length === 1);
  expect(await place()).toEqual([896, 768]);
  hold = false;
  const box = await boxOf(square);
  await page.mouse.move(box.x + 4, box.y + 4);
  await page.mouse.down();
  await page.mouse.move(box.x - 200, box.y + 300, { steps: 5 });
  await page.mouse.up();
  expect(await place()).toEqual([0, 1536]);
  await ended;
  await until("the last place is asked for", () => regions.length === 2);
  expect(regions.at(-1)).toMatchObject({ x: 0, y: 1536, width: 512, height: 512 });
  await until("it is shown", async () => (await page.locator('[aria-busy="true"]').count()) === 0);
  await page.getByText(/\d+ objects here/).waitFor();
});

test("two models are compared over the same region, and one of them is taken", async () => {
  const { page } = await open("/");
  await page.getByRole("button", { name: /small_nuclei/ }).click();
  await page.getByRole("button", { name: words.preview.compare }).click();
  const dialog = page.getByRole("dialog");
  await until("both have answered", async () => (await dialog.getByText(/\d+ objects? here/).count()) === 2);
  await dialog.getByRole("combobox").nth(1).click();
  await page.getByRole("option", { name: "otsu", exact: true }).click();
  await dialog.getByRole("button", { name: words.compare.use("otsu") }).click();
  await dialog.waitFor({ state: "detached" });
  expect(await page.getByRole("radio", { name: /^otsu/ }).getAttribute("aria-checked")).toBe("true");
});

test("what is looked at before a run is in sight with the button, on a small screen too", async () => {
  const { page } = await open("/");
  await page.getByRole("button", { name: /small_nuclei/ }).click();
  await page.getByText(/\d+ objects here/).waitFor();
  for (const width of [1280, 1000]) {
    await page.setViewportSize({ width, height: 800 });
    for (const shown of [page.getByText(words.before.pixels, { exact: true }), page.getByText(words.before.time, { exact: true }), run(page)]) {
      const box = await boxOf(shown);
      expect(box.y + box.height).toBeLessThan(800);
      const place = { x: box.x + 4, y: box.y + box.height / 2 };
      expect(await shown.evaluate((element, { x, y }) => element.contains(document.elementFromPoint(x, y)), place)).toBe(true);
    }
  }
});

test("with a login: a wrong token is told, a viewer is offered nothing that would be refused, others are", async () => {
  const tokens: string[] = [];
  const service = await Service.start(["--workers", "0"], async (folder) => {
    tokens.push(await newToken(folder, "ann", "--role", "viewer"), await newToken(folder, "ann"));
  });
  const [viewer = "", user = ""] = tokens;
  try {
    const { page } = await open("/", { at: service.url, expected: NO_ANSWER });
    const field = page.getByLabel(shared.login.label);
    await field.fill("cf_wrong");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").waitFor();
    await field.fill(viewer);
    await page.keyboard.press("Enter");
    await page.getByText(words.viewer.title).waitFor();
    expect(await page.getByRole("button", { name: words.drop.files }).count()).toBe(0);
    expect(await page.getByRole("button", { name: /large_nuclei/ }).count()).toBe(0);
    await page.getByRole("button", { name: shared.login.leave }).click();
    await field.fill(user);
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: words.drop.address }).click();
    await page.getByText(words.place.nowhere).waitFor();
    await page.getByLabel(words.place.label).fill("/etc");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText(/may not use this place/).waitFor();
  } finally {
    await service.stop();
  }
});
