/** Whoever has a keyboard only: goes from place to place with Tab, and has to see where they are. */
import type { Page } from "playwright-core";

const MOST_STEPS = 150;

interface Focus {
  /** Its name for who cannot see it, as far as these pages make names. */
  name: string;
  /** Whether its look tells that it has the focus. */
  seen: boolean;
}

const focus = (page: Page): Promise<Focus> =>
  page.evaluate(() => {
    const on = document.activeElement;
    if (!(on instanceof HTMLElement) || on === document.body) return { name: "", seen: true };
    const label = on instanceof HTMLInputElement ? on.labels?.[0]?.textContent : undefined;
    const name = on.getAttribute("aria-label") ?? label ?? on.innerText;
    // A field shows it by its border, a switch and a box by what stands beside them, a part of the page not at all.
    const own = getComputedStyle(on).outlineStyle !== "none";
    return { name, seen: own || on.tabIndex < 0 || on.matches("input, textarea") };
  });

/** Press Tab until the focus is on what has this in its name. */
export async function tabTo(page: Page, wanted: string, key = "Tab"): Promise<void> {
  const passed: string[] = [];
  for (let step = 0; step < MOST_STEPS; step++) {
    await page.keyboard.press(key);
    const { name, seen } = await focus(page);
    if (!seen) throw new Error(`nobody sees that the focus is on "${name}"`);
    if (name.includes(wanted)) return;
    passed.push(name.slice(0, 40));
  }
  throw new Error(`${key} does not come to "${wanted}", only to ${[...new Set(passed)].join(" · ")}`);
}

/** Go there and press Enter. */
export async function enter(page: Page, wanted: string): Promise<void> {
  await tabTo(page, wanted);
  await page.keyboard.press("Enter");
}
