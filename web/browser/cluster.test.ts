/** The page of the cluster: form, price, what is refused, review as a diff, and saving. No worker, no provider. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { words } from "../src/pages/cluster/words";
import { seriousFaults } from "./support/axe";
import { NO_ANSWER } from "./support/browser";
import { newToken, Service } from "./support/service";
import { open, withBrowser } from "./support/test";

withBrowser();
let service: Service;
let tokens: Record<"ann" | "root", string>;
const folder = () => join(service.data, "store", "cluster");

beforeAll(async () => {
  service = await Service.start(["--workers", "0"], async (data) => {
    tokens = { root: await newToken(data, "root", "--role", "admin"), ann: await newToken(data, "ann") };
    await mkdir(join(data, "store", "cluster"), { recursive: true });
    const gpus = { t4: { spot: 3, on_demand: 1 }, l4: { spot: 0, on_demand: 0 } };
    await writeFile(join(data, "store", "cluster", "granted.json"), JSON.stringify({ region: "us-west1", gpus }));
  });
});
afterAll(() => service.stop());

test("what the quota refuses cannot be chosen or sent, and what fits is reviewed as a diff and saved", async () => {
  const { page } = await open("/cluster", { at: service.url, token: tokens.root, expected: NO_ANSWER });
  const { form } = words;
  await page.getByLabel(form.project).fill("lab-1");
  await page.getByLabel(form.bucket).fill("gs://lab-cells");
  // Four are the form's own wish, three are granted.
  await page.getByRole("alert").getByText("us-west1 grants 3 T4 spot, and 4 are wanted").waitFor();
  const review = page.getByRole("button", { name: words.review });
  expect(await review.isDisabled()).toBe(true);
  await page.getByRole("combobox", { name: form.gpu }).or(page.getByRole("textbox", { name: form.gpu, exact: true })).first().click();
  expect(await page.getByRole("option", { name: /L4 .* not granted/ }).getAttribute("data-combobox-disabled")).toBe("true");
  await page.getByRole("option", { name: /T4 · \$0\.32 an hour · 3 granted/ }).click();
  await page.getByLabel(form.max, { exact: true }).fill("3");
  await page.getByText("Idle it costs $0.20 an hour").waitFor();
  await page.getByLabel(form.retention).fill("90");
  expect(await seriousFaults(page)).toEqual([]);
  await review.click();
  const diff = page.getByLabel(words.reviewTitle, { exact: true });
  expect(await diff.innerText()).toContain("+  max: 3");
  expect(await diff.innerText()).toContain("+retention_days: 90");
  expect(await seriousFaults(page)).toEqual([]);
  await page.getByRole("button", { name: words.save }).click();
  await page.getByText(`cellfleet cluster up --file ${join(folder(), "cluster.yaml")}`).waitFor();
  expect(await readFile(join(folder(), "cluster.yaml"), "utf8")).toContain("bucket: gs://lab-cells");
  await page.getByRole("button", { name: words.back }).click();
  await page.getByText(words.same).waitFor();
});

test("who is no administrator sees nothing of it", async () => {
  const { page } = await open("/cluster", { at: service.url, token: tokens.ann });
  await page.getByText(words.adminsOnly).waitFor();
  expect(await page.getByLabel(words.form.bucket).count()).toBe(0);
});
