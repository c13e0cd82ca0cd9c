/** Large files go straight to the bucket of the service, on a real S3 server. */
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { Page } from "playwright-core";
import { expect, test } from "vitest";

import { NO_ANSWER } from "./support/browser";
import { Bucket } from "./support/bucket";
import { discs } from "./support/images";
import { Service } from "./support/service";
import { open, withBrowser } from "./support/test";
import { until } from "./support/until";

withBrowser();

const MIB = 2 ** 20;
/** More than two parts. */
const content = Buffer.from(discs({ side: 6400 }));
const NAME = "large µ.tif";
const sum = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** The file on the disk; chosen again after a reload, it is the same. */
async function fileIn(service: Service): Promise<string> {
  const file = join(service.data, NAME);
  await writeFile(file, content);
  return file;
}

const isWhole = async (page: Page) => /6\s?400 × 6\s?400/.test(await page.getByRole("row").filter({ hasText: NAME }).innerText());

/** Run a test against a service whose store is a bucket that lets the pages of one address in: the service's, or another. */
async function withBucket(letIn: string | undefined, run: (service: Service, bucket: Bucket) => Promise<void>) {
  const bucket = await Bucket.start();
  try {
    const service = await Service.start(["--store", bucket.address, "--workers", "0"], undefined, bucket.environment);
    try {
      await bucket.letIn(letIn ?? service.url);
      await run(service, bucket);
    } finally {
      await service.stop();
    }
  } finally {
    bucket.stop();
  }
}

test("a file goes to the bucket in parts, and after a reload only what is missing is sent", () =>
  withBucket(undefined, async (service, bucket) => {
    const { page, context } = await open("/", { at: service.url, also: bucket.host, expected: NO_ANSWER });
    const network = await context.newCDPSession(page);
    await network.send("Network.enable");
    const speed = (uploadThroughput: number) =>
      network.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput });
    await speed(6e6);
    const puts: { part: string }[] = [];
    context.on("requestfinished", (request) => {
      const asked = new URL(request.url());
      if (asked.host !== bucket.host || request.method() !== "PUT") return;
      puts.push({ part: asked.searchParams.get("partNumber") ?? "" });
    });
    const input = page.locator('input[type="file"]').first();
    const file = await fileIn(service);
    await input.setInputFiles(file);
    const arrived = () => page.evaluate(() => /"etags":\{"/.test(JSON.stringify(localStorage).replaceAll("\\", "")));
    await until("a part has arrived", arrived);
    await page.reload();
    await page.getByText(/not complete from last time/).waitFor();
    const before = puts.map(({ part }) => part);
    expect(before.length).toBeLessThan(3);
    await speed(-1);
    await input.setInputFiles(file);
    await until("it is whole", () => isWhole(page));
    expect(puts.map(({ part }) => part).sort()).toEqual(["1", "2", "3"]);
    expect(before).not.toEqual([]);
    const kept = await bucket.contents();
    expect([...kept].filter(([name]) => name.endsWith(NAME)).map(([, bytes]) => sum(bytes))).toEqual([sum(content)]);
    expect(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.startsWith("direct|")))).toEqual([]);
  }));

test("where the bucket lets no page in, files go through the service", () =>
  withBucket("http://elsewhere.example", async (service, bucket) => {
    const { page } = await open("/", { at: service.url, also: bucket.host, expected: /Failed to load resource|CORS policy/ });
    const patch = page.waitForRequest((request) => request.method() === "PATCH");
    await page.locator('input[type="file"]').first().setInputFiles(await fileIn(service));
    await patch;
    await until("it is whole", () => isWhole(page));
    expect(content.length).toBeGreaterThan(32 * MIB);
  }));
