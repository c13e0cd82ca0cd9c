/** Takes the pictures of docs/images/: `node browser/screenshots.mjs URL FOLDER [LABELLED]`, where URL is a service without login.
 *
 * It has to be empty and to have a worker. Pictures are small PNGs of the pages in their main states. LABELLED is a folder of
 * labelled images that the service can read: with it a model is trained for some minutes, and its pages are taken, too.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { chromium } from "playwright-core";

const [url, folder, labelled] = process.argv.slice(2);
const SIZE = { width: 1280, height: 800 };
await mkdir(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CELLFLEET_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-quic", "--enable-unsafe-swiftshader"],
});
const context = await browser.newContext({ viewport: SIZE, reducedMotion: "reduce" });
context.setDefaultTimeout(90_000);
const page = await context.newPage();

const call = async (path, body, method = "POST") => {
  const answer = await fetch(`${url}/api/v1${path}`, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
  return answer.json();
};

async function shot(name, { dark = false } = {}) {
  await page.emulateMedia({ colorScheme: dark ? "dark" : "light", reducedMotion: "reduce" });
  await page.mouse.move(2, SIZE.height - 2);
  await page.waitForLoadState("networkidle").catch(() => undefined);
  await page.waitForFunction(() => document.getAnimations().every(({ playState }) => playState !== "running"), undefined, { timeout: 3000 }).catch(() => undefined);
  if (name.includes("viewer")) await outlines();
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

/** Wait until the canvas shows colours: it draws when the tiles have come. */
async function outlines() {
  const canvas = page.getByRole("application");
  await canvas.waitFor();
  for (let tries = 0; tries < 100; tries++) {
    const png = (await canvas.screenshot()).toString("base64");
    const coloured = await page.evaluate(async (content) => {
      const image = new Image();
      image.src = `data:image/png;base64,${content}`;
      await image.decode();
      const copy = new OffscreenCanvas(image.width, image.height).getContext("2d");
      copy.drawImage(image, 0, 0);
      const { data } = copy.getImageData(0, 0, image.width, image.height);
      let sum = 0;
      for (let i = 0; i < data.length; i += 4) if (Math.abs(data[i] - data[i + 2]) > 60) sum++;
      return sum;
    }, png);
    if (coloured > 2000) return;
  }
}

async function ended(id) {
  for (;;) {
    const job = await call(`/jobs/${id}`, undefined, "GET");
    if (job.summarised) return job;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

async function sampleSet(...names) {
  const sets = [];
  for (const name of names) sets.push(`set:${(await call(`/samples/${name}`)).id}/${name}`);
  return sets;
}

const formats = ["labels-tiff", "csv", "ome-zarr"];
await page.goto(`${url}/jobs`);
await page.getByRole("heading", { level: 3 }).waitFor();
await shot("jobs-empty");
await page.goto(url);
await page.getByRole("button", { name: /large_nuclei/ }).waitFor();
await shot("segment-empty");
await shot("segment-empty-dark", { dark: true });
await page.getByRole("button", { name: /large_nuclei/ }).click();
await page.getByText(/\d+ objects here/).waitFor();
await shot("segment");
await shot("segment-dark", { dark: true });

const inputs = await sampleSet("dense_nuclei.tif", "large_nuclei.tif", "small_nuclei.tif", "cell_painting.ome.tif");
const [job, other] = [
  await call("/jobs", { name: "Four samples", inputs, segment: { model: "nuclei" }, formats }),
  await call("/jobs", { name: "Four samples, by threshold", inputs, segment: { model: "otsu" }, formats }),
];
await ended(job.id);
await ended(other.id);
await page.goto(`${url}/jobs/${job.id}`);
await page.locator("main img").nth(1).waitFor();
await shot("job");
await shot("job-dark", { dark: true });
await page.getByRole("button", { name: "Download" }).click();
await page.getByRole("dialog").waitFor();
await shot("download");
await page.keyboard.press("Escape");

const dense = (await call(`/jobs/${job.id}/images`, undefined, "GET")).images.find(({ image }) => /dense/.test(image)) ?? { number: 0 };
const results = `${url}/jobs/${job.id}/i/${dense.number}`;
await page.goto(results);
await page.getByRole("application").locator("canvas").waitFor();
await shot("viewer");
await shot("viewer-dark", { dark: true });
await page.getByRole("tab", { name: "Objects" }).click();
await shot("viewer-objects");
await page.goto(`${results}#compare=${other.id}`);
await page.reload();
await page.getByRole("application").locator("canvas").waitFor();
await page.getByRole("tab", { name: "Compare" }).click();
await shot("viewer-compare");

const bad = Buffer.from("II*\0 this is half a file");
const made = await call("/sets", { name: "A plate with a broken file" });
for (const [path, content] of [["A1.tif", bad], ["µ-Zellen, sehr langer Name eines Bildes aus einem Mikroskop, Feld 12, Kanal DAPI, belichtet 200 ms.tif", bad]]) {
  const encode = (text) => Buffer.from(text).toString("base64");
  const answer = await fetch(`${url}/api/v1/uploads`, {
    method: "POST",
    headers: {
      "Tus-Resumable": "1.0.0",
      "Upload-Length": String(content.length),
      "Upload-Metadata": `set ${encode(made.id)},path ${encode(path)}`,
      "Content-Type": "application/offset+octet-stream",
    },
    body: content,
  });
  if (!answer.ok) throw new Error(await answer.text());
}
const failed = await call("/jobs", {
  name: "A plate with broken files, whose name is far longer than anybody would like it to be in a table of jobs",
  inputs: [`set:${made.id}`, ...inputs.slice(0, 2)], segment: { model: "otsu" }, formats,
});
await ended(failed.id);
await page.goto(`${url}/jobs/${failed.id}`);
await page.getByRole("table").waitFor();
await shot("job-failed");
await page.goto(`${url}/jobs`);
await page.getByRole("row").nth(3).waitFor();
await shot("jobs");
await shot("jobs-dark", { dark: true });
for (const name of ["models", "help", "admin"]) {
  await page.goto(`${url}/${name}`);
  await page.getByRole("heading", { level: 2 }).waitFor();
  await shot(name);
}
if (labelled) {
  const { id } = await call("/training", { name: "our-nuclei", dataset: labelled, minutes: 5 });
  await page.goto(`${url}/training/${id}`);
  await page.getByRole("rowheader").first().waitFor({ timeout: 1_800_000 });
  await page.setViewportSize({ ...SIZE, height: 1100 });
  await shot("training-run");
  await shot("training-run-dark", { dark: true });
  await page.setViewportSize(SIZE);
  await page.goto(`${url}/training`);
  await page.getByRole("link", { name: "our-nuclei" }).waitFor();
  await shot("training");
}
await page.goto(`${url}/jobs/nowhere`);
await page.getByText("E810").waitFor();
await shot("job-missing");
await page.setViewportSize({ width: 1000, height: 800 });
for (const [name, path] of [["narrow-segment", "/"], ["narrow-viewer", results.slice(url.length)], ["narrow-job", `/jobs/${job.id}`]]) {
  await page.goto(url + path);
  await shot(name);
}
await browser.close();
await writeFile(join(folder, "job.txt"), `${job.id} ${other.id}\n`);
