/** From images to a job: samples, dropped files, uploads that are cut. */
import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Page } from "playwright-core";
import { expect, inject, test } from "vitest";

import { words } from "../src/pages/segment/words";
import { NO_ANSWER } from "./support/browser";
import { discs } from "./support/images";
import { difference, look } from "./support/pictures";
import { open, withBrowser } from "./support/test";
import { until } from "./support/until";
import { Way } from "./support/way";

/** Side of an image of 8 bits that is 200 MB. */
const LARGE_PX = 14_200;

withBrowser();
const url = inject("url");
const data = inject("data");

const row = (page: Page, name: string) => page.getByRole("row").filter({ hasText: name });

test("a sample is outlined in the preview, and a click later as a whole", async () => {
  const begun = Date.now();
  const { page } = await open("/");
  await page.getByRole("button", { name: /large_nuclei/ }).click();
  await page.getByText(/\d+ objects here/).waitFor();
  const picture = page.getByRole("region", { name: words.preview.title }).locator("canvas").first();
  const switched = page.getByLabel(words.preview.outlines, { exact: true });
  await until("outlines are over the preview, and go when they are switched off", async () => {
    const clip = await picture.boundingBox();
    if (!clip) return false;
    const on = await look(page, clip);
    await switched.click();
    const off = await look(page, clip);
    await switched.click();
    return [...Array(on.width * on.height).keys()].filter((at) => difference(on, off, at) > 40).length > 300;
  });
  const preview = Date.now() - begun;
  await page.getByRole("button", { name: words.before.button(1, false) }).click();
  await page.waitForURL(/\/jobs\//);
  await page.getByRole("link", { name: /large_nuclei/ }).click();
  await page.getByRole("application").locator("canvas").waitFor();
  await page.getByText(/\d+ objects/).first().waitFor();
  expect(preview).toBeLessThan(60_000);
});

/** Let files fall on the page, as from a window of files. */
async function drop(page: Page, files: Record<string, Uint8Array>) {
  const packed = Object.entries(files).map(([name, content]) => [name, Buffer.from(content).toString("base64")] as const);
  const transfer = await page.evaluateHandle((given) => {
    const made = new DataTransfer();
    for (const [name, content] of given) {
      made.items.add(new File([Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0))], name, { type: "image/tiff" }));
    }
    return made;
  }, packed);
  const zone = page.getByRole("region", { name: words.drop.label });
  for (const event of ["dragenter", "dragover", "drop"]) await zone.dispatchEvent(event, { dataTransfer: transfer });
}

test("three dropped files show what they say of themselves; only the one without pixel size asks", async () => {
  const { page } = await open("/");
  await drop(page, {
    "fine µ.tif": discs({ micronsPerPixel: 0.325, seed: 1 }),
    "coarse.tif": discs({ micronsPerPixel: 0.65, seed: 2, side: 192 }),
    "silent 🦠.tif": discs({ seed: 3 }),
  });
  await until("fine µ.tif is read", async () => /128 × 128[\s\S]*0\.325 µm/.test(await row(page, "fine µ.tif").innerText()));
  await until("coarse.tif is read", async () => /192 × 192[\s\S]*0\.65 µm/.test(await row(page, "coarse.tif").innerText()));
  await until("silent is read", async () => /128 × 128/.test(await row(page, "silent 🦠.tif").innerText()));
  expect(await page.getByRole("row").getByLabel(words.pixelSize.label).count()).toBe(1);
  await page.getByRole("button", { name: words.before.button(3, false) }).waitFor();
});

test("a file that is no image says why, and the others are not held up", async () => {
  const { page } = await open("/", { expected: NO_ANSWER });
  await drop(page, { "broken.tif": discs().slice(0, 2000), "good.tif": discs({ seed: 4 }) });
  await until("the broken one is told", async () => (await row(page, "broken.tif").innerText()).includes(words.states.unreadable));
  expect(await page.locator("main").innerText()).toMatch(/E\d{3}/);
  await until("the job can be made", () => page.getByRole("button", { name: /^Segment \d image/ }).isEnabled());
});

test("a name that would lead out of its set is refused, and the other files are not held up", async () => {
  const { page } = await open("/", { expected: NO_ANSWER });
  await drop(page, { "../../outside.tif": discs({ seed: 5 }), "inside.tif": discs({ seed: 6 }) });
  await until("it is told", async () => /outside\.tif[\s\S]*E\d{3}/.test(await page.locator("main").innerText()));
  await until("the other one is read", async () => /128 × 128/.test(await row(page, "inside.tif").innerText()));
  expect((await readdir(data, { recursive: true })).filter((path) => path.endsWith("outside.tif"))).toEqual([]);
});

test("a large upload whose connection is cut halfway goes on after the page is loaded again, and arrives whole", async () => {
  const name = "200 MB.tif";
  const file = join(data, name);
  const content = discs({ side: LARGE_PX });
  await writeFile(file, content);
  const way = await Way.to(url);
  way.cutAfter(content.length / 2);
  try {
    const { page } = await open("/", { at: way.url, expected: NO_ANSWER });
    const input = page.locator('input[type="file"]').first();
    await input.setInputFiles(file);
    await page.getByText(words.files.lost).waitFor();
    expect(way.isCut).toBe(true);
    await expect(page.reload()).rejects.toThrow();
    way.mend();
    await until("the page is there again", async () => (await page.goto(way.url))?.ok());
    await page.getByText(words.files.missing(1)).waitFor();
    const offset = page.waitForRequest((request) => request.method() === "PATCH");
    await input.setInputFiles(file);
    expect(Number((await offset).headers()["upload-offset"])).toBeGreaterThan(0.4 * content.length);
    await until("it is whole", async () => /14\s200 × 14\s200/.test(await row(page, name).innerText()));
    expect(way.sent).toBeLessThan(0.65 * content.length);
    expect(await sumsOfUploads(name)).toContain(createHash("sha256").update(content).digest("hex"));
    await page.getByRole("button", { name: words.files.clear }).click();
    await until("it is removed", async () => (await sumsOfUploads(name)).length === 0);
  } finally {
    way.close();
  }
});

/** SHA-256 of the files of this name in all sets of uploads. */
async function sumsOfUploads(name: string): Promise<string[]> {
  const folder = join(data, "store/uploads");
  const files = (await readdir(folder)).map((set) => readFile(join(folder, set, name)).catch(() => undefined));
  return (await Promise.all(files)).flatMap((content) => (content ? [createHash("sha256").update(content).digest("hex")] : []));
}
