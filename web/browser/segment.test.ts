/** From images to a job: samples, dropped files, uploads that are cut. */
import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Page } from "playwright-core";
import { expect, inject, test } from "vitest";

import { words } from "../src/pages/segment/words";
import { NO_ANSWER } from "./support/browser";
import { discs } from "./support/images";
import { open, withBrowser } from "./support/test";
import { until } from "./support/until";

withBrowser();
const data = inject("data");

const row = (page: Page, name: string) => page.getByRole("row").filter({ hasText: name });

test("a sample is outlined in the preview, and a click later as a whole", async () => {
  const begun = Date.now();
  const { page } = await open("/");
  await page.getByRole("button", { name: /large_nuclei/ }).click();
  await page.getByText(/\d+ objects here/).waitFor();
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

test("an upload that is cut goes on after the page is loaded again, and arrives whole", async () => {
  const file = join(data, "large upload.tif");
  const content = discs({ side: 5000 });
  await writeFile(file, content);
  const { page, context } = await open("/", { expected: NO_ANSWER });
  const network = await context.newCDPSession(page);
  const conditions = { offline: false, latency: 0, downloadThroughput: -1 };
  await network.send("Network.enable");
  await network.send("Network.emulateNetworkConditions", { ...conditions, uploadThroughput: 4e6 });
  const input = page.locator('input[type="file"]').first();
  await input.setInputFiles(file);
  await until("a third of it is sent", async () => Number(/(\d+) %/.exec(await row(page, "large upload.tif").innerText())?.[1]) > 33);
  await page.reload();
  await network.send("Network.emulateNetworkConditions", { ...conditions, uploadThroughput: -1 });
  await page.getByText(/not complete from last time/).waitFor();
  const offset = page.waitForRequest((request) => request.method() === "PATCH");
  await input.setInputFiles(file);
  expect(Number((await offset).headers()["upload-offset"])).toBeGreaterThan(0);
  await until("it is whole", async () => /5\s?000 × 5\s?000/.test(await row(page, "large upload.tif").innerText()));
  const uploads = join(data, "store/uploads");
  const sums = await Promise.all(
    (await readdir(uploads)).map((set) => readFile(join(uploads, set, "large upload.tif")).catch(() => Buffer.alloc(0))),
  );
  const sum = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  expect(sums.map(sum)).toContain(sum(content));
});
