/** Every page for everybody: what axe finds, in light and dark, and a walk with the keyboard alone. */
import AxeBuilder from "@axe-core/playwright";
import { expect, inject, test } from "vitest";

import { words as jobWords } from "../src/pages/job/words";
import { words as listWords } from "../src/pages/jobs/words";
import { words } from "../src/words";
import { open, withBrowser } from "./support/test";
import { until } from "./support/until";

withBrowser();
const job = inject("sampleJob");
const PAGES = {
  Segment: "/",
  Jobs: "/jobs",
  "a job": `/jobs/${job}`,
  Results: `/jobs/${job}/i/0`,
  Models: "/models",
  Admin: "/admin",
  Help: "/help",
};

for (const [name, path] of Object.entries(PAGES)) {
  for (const colorScheme of ["light", "dark"] as const) {
    test(`axe finds nothing serious on ${name}, ${colorScheme}`, async () => {
      const { page } = await open(path, { colorScheme });
      await page.getByRole("heading", { level: 2 }).first().waitFor();
      await page.waitForLoadState("networkidle");
      const { violations } = await new AxeBuilder({ page }).analyze();
      const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      expect(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).slice(0, 4).join("\n")}`)).toEqual([]);
    });
  }
}

test("an open dialog has nothing serious either", async () => {
  const { page } = await open(`/jobs/${job}`);
  await page.getByRole("button", { name: jobWords.download }).click();
  await page.getByRole("dialog").waitFor();
  await until("the dialog stands still", () => page.evaluate(() => document.getAnimations().length === 0));
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id }) => id)).toEqual([]);
});

test("with the keyboard alone one comes from the first page to a download", async () => {
  const { page } = await open("/");
  const tabTo = (what: string) =>
    until(`the keyboard comes to ${what}`, async () => {
      await page.keyboard.press("Tab");
      const focused = page.locator(":focus");
      const text = (await focused.getAttribute("aria-label")) ?? (await focused.innerText());
      return text.includes(what);
    }, 20_000);
  await tabTo(words.skip);
  await tabTo(words.nav.jobs);
  await page.keyboard.press("Enter");
  await page.getByRole("row", { name: /Sample/ }).waitFor();
  await tabTo(listWords.filter);
  await page.keyboard.type("Sample");
  await tabTo("Sample");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: jobWords.download }).waitFor();
  await tabTo(jobWords.download);
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await tabTo(jobWords.panel.get);
  const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
  expect(download.suggestedFilename()).toMatch(/\.zip$/);
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  expect(await page.locator(":focus").innerText()).toBe(jobWords.download);
});

test("an address that leads nowhere says so", async () => {
  const { page } = await open("/nowhere");
  await page.getByRole("heading", { level: 2 }).or(page.getByRole("alert")).first().waitFor();
});
