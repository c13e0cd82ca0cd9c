/** What the cards of models tell: the one that is offered first, and of each its text and how it is used by name. */
import { expect, inject, test } from "vitest";

import type { Schemas } from "../src/api/client";
import { words } from "../src/pages/models/words";
import { seriousFaults } from "./support/axe";
import { ask } from "./support/jobs";
import { open, withBrowser } from "./support/test";

withBrowser();

test("every model that comes with cellfleet brings a text, and tells how it is used by name", async () => {
  const { models } = await ask<Schemas["ModelList"]>(inject("url"), "/models");
  const { page } = await open("/models");
  const cards = page.getByRole("heading", { level: 3 });
  await cards.nth(models.length - 1).waitFor();
  expect(await cards.first().innerText()).toBe(models.find((model) => model.default)?.name);
  for (const { name, version, task } of models) {
    await page.getByRole("button", { name: words.detailsOf(name), exact: true }).click();
    const text = page.getByRole("dialog", { name: `${name} ${version}` });
    await text.getByRole("heading", { name: "Validation" }).waitFor();
    expect(await text.getByText(`--model ${name}:${version}`).count()).toBe(task === "translation" ? 0 : 1);
    if (name === "nuclei") expect(await seriousFaults(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await text.waitFor({ state: "detached" });
  }
});
