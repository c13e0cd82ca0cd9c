/** A service with users: login, and what is not yours. No worker: nothing here is segmented. */
import { afterAll, beforeAll, expect, test } from "vitest";

import { words as adminWords } from "../src/pages/admin/words";
import { words as listWords } from "../src/pages/jobs/words";
import { words } from "../src/words";
import { seriousFaults } from "./support/axe";
import { NO_ANSWER } from "./support/browser";
import { enter, tabTo } from "./support/keys";
import { newToken, python, Service } from "./support/service";
import { open, withBrowser } from "./support/test";
import { until } from "./support/until";

withBrowser();
let service: Service;
let tokens: Record<"ann" | "ben" | "root", string>;
let annsJob: string;

beforeAll(async () => {
  service = await Service.start(["--workers", "0"], async (data) => {
    const [root, ann, ben] = [await newToken(data, "root", "--role", "admin"), await newToken(data, "ann"), await newToken(data, "ben")];
    tokens = { root, ann, ben };
  });
  annsJob = await python("fill.py", service.data, "ann", "1", "1");
});
afterAll(() => service.stop());

test("a wrong token is told, the right one opens the page, and leaving closes it", async () => {
  const { page } = await open("/jobs", { at: service.url, expected: NO_ANSWER });
  const field = page.getByLabel(words.login.label, { exact: true });
  await field.waitFor();
  expect(await seriousFaults(page)).toEqual([]);
  await field.fill("cf_wrong");
  await page.getByRole("button", { name: words.login.button }).click();
  await page.getByText(words.login.wrong).waitFor();
  await field.fill(tokens.ben);
  await page.getByRole("button", { name: words.login.button }).click();
  await page.getByRole("heading", { name: listWords.none }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: listWords.none }).waitFor();
  await page.getByRole("button", { name: words.login.leave }).click();
  await field.waitFor();
});

test("somebody else's job is not there, nor its images, and its files are refused", async () => {
  const { page } = await open(`/jobs/${annsJob}`, { at: service.url, token: tokens.ben, expected: NO_ANSWER });
  await page.getByText("E810").waitFor();
  expect(await page.locator("main").innerText()).not.toMatch(/undefined|10 000 images|ann/);
  await page.goto(`${service.url}/jobs/${annsJob}/i/0`);
  await page.getByText("E810").waitFor();
  const asked = ["", "/images", "/images/0/thumbnail", "/zip", "/files/run.json"].map((path) => `${service.url}/api/v1/jobs/${annsJob}${path}`);
  const headers = { Authorization: `Bearer ${tokens.ben}` };
  expect(await Promise.all(asked.map(async (path) => (await fetch(path, { headers })).status))).toEqual(asked.map(() => 404));
});

test("an image of a job whose user needs a token has its picture", async () => {
  const { page } = await open(`/jobs/${annsJob}`, { at: service.url, token: tokens.ann });
  await page.locator("main img").first().waitFor();
  await until("a picture is loaded", () => page.locator("main img").first().evaluate((one) => (one as HTMLImageElement).naturalWidth > 0));
});

test("an administrator sees whose jobs they are", async () => {
  const { page } = await open("/jobs", { at: service.url, token: tokens.root });
  await page.getByRole("columnheader", { name: listWords.columns.owner }).waitFor();
  await page.getByRole("cell", { name: "ann", exact: true }).first().waitFor();
  expect(await seriousFaults(page)).toEqual([]);
  await page.getByRole("link", { name: words.nav.admin }).click();
  await page.getByText("ben", { exact: true }).first().waitFor();
  expect(await seriousFaults(page)).toEqual([]);
});

test("an administrator makes a token with the keyboard alone, and it opens the page until it is revoked", async () => {
  const { page } = await open("/admin", { at: service.url, token: tokens.root });
  await page.getByText("ben", { exact: true }).first().waitFor();
  await enter(page, adminWords.make);
  await page.getByRole("dialog").waitFor();
  await tabTo(page, adminWords.form.user);
  await page.keyboard.type("eve");
  await enter(page, adminWords.form.make);
  const token = await page.getByRole("dialog").locator("pre").innerText();
  expect(await seriousFaults(page)).toEqual([]);
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  const { page: hers } = await open("/jobs", { at: service.url, token, expected: NO_ANSWER });
  await hers.getByRole("heading", { name: listWords.none }).waitFor();
  await page.getByRole("row", { name: /eve.*user/ }).getByRole("button", { name: adminWords.revoke }).click();
  await page.getByRole("row", { name: /eve.*user/ }).waitFor({ state: "detached" });
  await hers.reload();
  await hers.getByText(words.login.wrong).waitFor();
});
