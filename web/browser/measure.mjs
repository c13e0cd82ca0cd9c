/** Measures the page: `node browser/measure.mjs URL JOB [RUNS]`, where URL is a service without login and JOB a job that is done.
 *
 * Prints bytes over the wire of the main pages, opened with an empty browser, and the times to the first outlines: of the
 * preview of a sample (from opening the page, and from the click), and of the viewer. The middle of RUNS runs counts.
 */
import { chromium } from "playwright-core";

const [url, job, runs = "5"] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CELLFLEET_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-quic", "--enable-unsafe-swiftshader"],
});

/** Do something in a browser that has seen nothing before; return its answer and the bytes that came. */
async function fresh(act) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  page.setDefaultTimeout(90_000);
  const network = await context.newCDPSession(page);
  await network.send("Network.enable");
  let bytes = 0;
  network.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
  const answer = await act(page);
  await context.close();
  return { answer, bytes };
}

const middle = (all) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)];

async function repeated(act) {
  const seconds = [];
  for (let run = 0; run < Number(runs); run++) seconds.push((await fresh(act)).answer);
  return seconds[0].map((_, i) => middle(seconds.map((one) => one[i])).toFixed(2));
}

/** Whether something that is not grey is on a canvas: outlines are coloured, the sample is not. */
const outlined = (page) =>
  page.waitForFunction(() => {
    const canvas = [...document.querySelectorAll("main canvas")].find(({ width }) => width > 200);
    if (!canvas) return false;
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    let coloured = 0;
    for (let i = 0; i < data.length; i += 4) if (Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 60) coloured++;
    return coloured > 300;
  }, undefined, { polling: "raf" });

for (const [name, path] of [["Segment", "/"], ["Jobs", "/jobs"], ["a job", `/jobs/${job}`], ["Results", `/jobs/${job}/i/0`]]) {
  const { bytes } = await fresh(async (page) => {
    await page.goto(url + path);
    await page.getByRole("heading", { level: 2 }).waitFor();
    await page.waitForLoadState("networkidle");
  });
  process.stdout.write(`${name}: ${(bytes / 1000).toFixed(0)} kB` + "\n");
}

const [ready, clicked, whole] = await repeated(async (page) => {
  const begun = performance.now();
  await page.goto(url);
  const sample = page.getByRole("button", { name: /large_nuclei/ });
  await sample.waitFor();
  const seen = performance.now();
  await sample.click();
  await outlined(page);
  const done = performance.now();
  return [seen - begun, done - seen, done - begun].map((ms) => ms / 1000);
});
process.stdout.write(`Segment is there: ${ready} s; outlines after a click on a sample: ${clicked} s; after opening the page: ${whole} s` + "\n");

const [viewer] = await repeated(async (page) => {
  const begun = performance.now();
  await page.goto(`${url}/jobs/${job}/i/0`);
  await page.getByRole("application").locator("canvas").waitFor();
  // A drawing of WebGL is gone when it is asked for: the screen is looked at.
  for (;;) {
    const box = await page.getByRole("application").boundingBox();
    const png = (await page.screenshot({ clip: box })).toString("base64");
    const coloured = await page.evaluate(async (content) => {
      const image = new Image();
      image.src = `data:image/png;base64,${content}`;
      await image.decode();
      const copy = new OffscreenCanvas(image.width, image.height).getContext("2d");
      copy.drawImage(image, 0, 0);
      const { data } = copy.getImageData(0, 0, image.width, image.height);
      let sum = 0;
      for (let i = 0; i < data.length; i += 4) if (Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 60) sum++;
      return sum;
    }, png);
    if (coloured > 300) return [(performance.now() - begun) / 1000];
  }
});
process.stdout.write(`Results with outlines: ${viewer} s after opening the address` + "\n");
await browser.close();
