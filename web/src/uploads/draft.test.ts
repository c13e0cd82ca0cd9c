import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Refusal } from "../api/client";
import { Drafts, type Service } from "./draft";
import { NotNow, type Sending } from "./send";

/** A service whose uploads end when the test says so. */
class Stub implements Service {
  sending: (Sending & { done: () => void; fail: (why: Error) => void })[] = [];
  sets = 0;
  deleted: string[] = [];
  whole = new Map<string, number>();
  newSet = async () => `s${++this.sets}`;
  files = async () => this.whole;
  deleteSet = async (set: string) => void this.deleted.push(set);
  send = (sending: Sending) =>
    new Promise<void>((done, fail) => {
      sending.signal.addEventListener("abort", () => fail(sending.signal.reason as Error));
      this.sending.push({ ...sending, done, fail });
    });
}

const chosen = (...paths: string[]) => paths.map((path) => ({ path, file: new File(["12345"], path.split("/").at(-1) as string, { lastModified: 7 }) }));
const settle = () => vi.advanceTimersByTimeAsync(250);
const refused = new Refusal({ code: "E926", what: "too large", where: "", action: "", message: "too large" }, 413);

let service: Stub;
let draft: Drafts;
const states = () => Object.fromEntries(draft.get().items.map(({ path, state }) => [path, state]));

beforeEach(() => {
  vi.useFakeTimers();
  localStorage.clear();
  service = new Stub();
  draft = new Drafts(service);
});
afterEach(() => vi.useRealTimers());

test("three files are sent at a time, to one set, and the next when one is done", async () => {
  draft.addFiles(chosen("p/a.tif", "p/b.tif", "p/c.tif", "p/d.tif"));
  await settle();
  expect(service.sending.map(({ path }) => path)).toEqual(["p/a.tif", "p/b.tif", "p/c.tif"]);
  service.sending[1]?.done();
  await settle();
  expect(states()).toEqual({ "p/a.tif": "sending", "p/b.tif": "up", "p/c.tif": "sending", "p/d.tif": "sending" });
  expect([service.sets, draft.get().set, draft.get().name]).toEqual([1, "s1", "p"]);
  expect(draft.get().items[1]?.input).toBe("set:s1/p/b.tif");
});

test("a refused file is told in the service's words, and the others go on", async () => {
  draft.addFiles(chosen("a.tif", "b.tif"));
  await settle();
  service.sending[0]?.fail(refused);
  service.sending[1]?.done();
  await settle();
  expect(states()).toEqual({ "a.tif": "refused", "b.tif": "up" });
  expect(draft.get().items[0]?.problem?.code).toBe("E926");
});

test("a lost connection is waited for with growing pauses, and then uploads go on", async () => {
  draft.addFiles(chosen("a.tif"));
  await settle();
  for (const attempts of [1, 2]) {
    service.sending.at(-1)?.fail(new NotNow());
    await settle();
    expect([states()["a.tif"], draft.get().lost, service.sending.length]).toEqual(["waiting", true, attempts]);
    await vi.advanceTimersByTimeAsync(1000 * 2 ** attempts);
  }
  service.sending.at(-1)?.sent(3);
  await settle();
  expect([draft.get().lost, draft.get().sent]).toEqual([false, 3]);
  service.sending.at(-1)?.done();
  await settle();
  expect(states()).toEqual({ "a.tif": "up" });
});

test("after a reload the same files, chosen again, go on; whole ones need not be chosen", async () => {
  draft.addFiles(chosen("a.tif", "b.tif", "c.tif"));
  await settle();
  service.sending[0]?.done();
  await settle();
  const reloaded = new Drafts(service);
  service.whole = new Map([["a.tif", 5]]);
  service.sending = [];
  draft = reloaded;
  await reloaded.restore();
  expect(states()).toEqual({ "a.tif": "up", "b.tif": "missing", "c.tif": "missing" });
  reloaded.addFiles(chosen("a.tif", "b.tif"));
  await settle();
  expect(states()).toEqual({ "a.tif": "up", "b.tif": "sending", "c.tif": "missing" });
  expect(service.sending.map(({ set, path }) => [set, path])).toEqual([["s1", "b.tif"]]);
});

test("two files of one name and different content are both kept", async () => {
  draft.addFiles(chosen("a.ome.tif"));
  draft.addFiles([{ path: "a.ome.tif", file: new File(["other one"], "a.ome.tif") }]);
  draft.addFiles(chosen("a.ome.tif"));
  await settle();
  expect(Object.keys(states())).toEqual(["a.ome.tif", "a (2).ome.tif"]);
});

test("paused uploads wait, and go on when they are told to", async () => {
  draft.addFiles(chosen("a.tif"));
  await settle();
  draft.pause();
  await settle();
  expect([states()["a.tif"], draft.get().paused]).toEqual(["waiting", true]);
  draft.goOn();
  await settle();
  expect([states()["a.tif"], service.sending.length]).toEqual(["sending", 2]);
});

test("taking out what is up means the others one by one; taking out all deletes the set", async () => {
  draft.addFiles(chosen("a.tif", "b.tif"));
  await settle();
  service.sending.forEach(({ done }) => done());
  await settle();
  draft.remove(["a.tif"]);
  expect([draft.get().partial, Object.keys(states())]).toEqual([true, ["b.tif"]]);
  draft.remove(["b.tif"]);
  await settle();
  expect([service.deleted, localStorage.length, draft.get().items.length]).toEqual([["s1"], 0, 0]);
});

test("an image that did not change stays the same object, so that its row is not drawn again", async () => {
  draft.addFiles(chosen("a.tif", "b.tif"));
  await settle();
  const [before] = draft.get().items;
  service.sending[1]?.done();
  await settle();
  expect(draft.get().items[0]).toBe(before);
  expect(draft.get().items[1]?.state).toBe("up");
});
