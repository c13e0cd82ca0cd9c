/** What axe finds on a page as it stands, in light and in dark. */
import AxeBuilder from "@axe-core/playwright";
import type { Page } from "playwright-core";

import { until } from "./until";

const MOST_SHOWN = 4;

/** Return what is serious or critical: the scheme, axe's rule, and the first elements that break it. */
export async function seriousFaults(page: Page): Promise<string[]> {
  const found: string[] = [];
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await until("nothing moves", () => page.evaluate(() => document.getAnimations().every(({ playState }) => playState !== "running")));
    const { violations } = await new AxeBuilder({ page }).analyze();
    for (const { id, impact, nodes } of violations) {
      if (impact !== "serious" && impact !== "critical") continue;
      found.push([`${colorScheme}, ${id}:`, ...nodes.slice(0, MOST_SHOWN).map(({ html, failureSummary }) => `${html.slice(0, 240)}\n${failureSummary}`)].join("\n"));
    }
  }
  return found;
}
