/** Costs: what a job's page says of them while they grow, and what all pages say when the month's budget is spent. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { words as month } from "../src/pages/cluster/words";
import { words as job } from "../src/pages/job/words";
import { words } from "../src/words";
import { seriousFaults } from "./support/axe";
import { NO_ANSWER } from "./support/browser";
import { discs, imagesFolder } from "./support/images";
import { newJob } from "./support/jobs";
import { Service } from "./support/service";
import { open, withBrowser } from "./support/test";

withBrowser();
let service: Service;
const HOURLY = 0.19;
/** Half a minute passes until the service looks, and four pages are judged by axe. */
const LONG_MS = 240_000;

beforeAll(async () => {
  service = await Service.start(["--workers", "0", "--budget", "10"]);
});
afterAll(() => service.stop());

/** Tell of work on a machine elsewhere, as its worker does. */
async function spend(id: string, usd: number, machine = "n1-standard-4") {
  const folder = join(service.data, "store", "usage", id);
  await mkdir(folder, { recursive: true });
  const seconds = (3600 * usd) / HOURLY;
  const usage = { machine: { name: machine, region: "us-central1" }, seconds, stage_seconds: { read: 1, predict: 3 } };
  await writeFile(join(folder, `${machine || "unnamed"}-1.json`), JSON.stringify(usage));
}

test("a job whose machines have no known price says so, and what to do", async () => {
  const folder = await imagesFolder(service.data, "unpriced", { files: { "a.tif": discs() } });
  const id = await newJob(service.url, folder, { name: "Unpriced" });
  await spend(id, 1, "");
  const { page } = await open(`/jobs/${id}`, { at: service.url });
  const panel = page.getByRole("region", { name: job.cost.title });
  await panel.getByText(job.cost.unknown).waitFor();
  await panel.getByText(job.cost.todoUnnamed).waitFor();
  await panel.getByText("predict 75 %").waitFor();
});

test("when the budget is spent jobs pause, every page says why and what to do, and nothing goes on by hand", async () => {
  const folder = await imagesFolder(service.data, "plates", { files: { "a.tif": discs() } });
  const id = await newJob(service.url, folder, { name: "Plates" });
  await spend(id, 3.8);
  const { page } = await open(`/jobs/${id}`, { at: service.url, expected: NO_ANSWER });
  const panel = page.getByRole("region", { name: job.cost.title });
  await panel.getByText("$3.80", { exact: true }).waitFor();
  await panel.getByText("predict 75 % · $2.85").waitFor();
  expect(await page.getByText(words.budget.lost).count()).toBe(0);

  await spend(id, 12);
  const banner = page.getByRole("alert").filter({ hasText: words.budget.spent("$10.00") });
  await banner.waitFor(); // the service looks every 30 s
  await page.getByText(words.states.paused, { exact: true }).waitFor();
  await panel.getByText("$12.00", { exact: true }).waitFor();
  await page.getByRole("button", { name: job.resume }).click();
  await page.getByText("[E756]").waitFor();
  expect(await seriousFaults(page)).toEqual([]);

  await banner.getByRole("link", { name: words.budget.look }).click();
  await page.getByRole("heading", { name: month.month.title }).waitFor();
  await page.getByRole("alert").filter({ hasText: words.budget.todo }).waitFor();
  await page.getByRole("cell", { name: "$12.00" }).first().waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: month.month.save }).click()]);
  expect(download.suggestedFilename()).toMatch(/^bills-\d{4}-\d{2}\.csv$/);
  const rows = (await readFile(await download.path(), "utf8")).trim().split("\r\n");
  expect(rows.some((row) => row.startsWith(`${id},Plates,local,`) && row.includes("n1-standard-4"))).toBe(true);
  expect(await seriousFaults(page)).toEqual([]);

  const next = await newJob(service.url, folder, { name: "Too late" });
  await page.goto(`${service.url}/jobs/${next}`);
  await page.getByRole("alert").filter({ hasText: words.budget.lost }).waitFor();

  await page.goto(`${service.url}/admin`);
  await page.getByRole("heading", { level: 2 }).waitFor();
  await page.getByRole("columnheader", { name: "Cost this month" }).waitFor();
}, LONG_MS);
