/** `test` with a browser and a watched page of the shared service; a page that complained fails its test. */
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, inject } from "vitest";

import { openBrowser, openPage, type Watched } from "./browser";

let browser: Browser | undefined;
let opened: Watched[] = [];

/** Have a browser for the tests of this file. Every page that `open` gave is closed and judged after its test. */
export function withBrowser() {
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterEach(async () => {
    const pages = opened;
    opened = [];
    for (const { context } of pages) await context.close();
    expect(pages.flatMap(({ troubles }) => troubles)).toEqual([]);
  });
  afterAll(async () => {
    await browser?.close();
  });
}

/** Open a page of a service, of the shared one where no address is given. */
export async function open(path: string, options: Parameters<typeof openPage>[2] & { at?: string } = {}): Promise<Watched> {
  if (!browser) throw new Error("withBrowser() first");
  const { at = inject("url"), ...rest } = options;
  const watched = await openPage(browser, at + path, rest);
  opened.push(watched);
  return watched;
}
