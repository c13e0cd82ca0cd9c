import { expect, test } from "vitest";

import type { Run } from "./queries";
import { doing } from "./RunPage";
import { words } from "./words";

const run = (state: Run["state"], phase: Run["phase"] = null) => ({ state, phase, published: [] as string[] }) as unknown as Run;

test("a run is called done only when it is", () => {
  expect(doing(run("running"))).toBe(words.beginning);
  expect(doing(run("running", "reading"))).toBe(words.phases.reading);
  expect(doing(run("done"))).toBe(words.done);
  expect(doing({ ...run("done"), published: ["ours:1.0.0"] })).toBe(words.published(["ours:1.0.0"]));
});
