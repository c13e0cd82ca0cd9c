import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Bucket, sendDirect } from "./direct";
import { NotNow, Stopped } from "./send";

const PART = 4;
const file = new File(["0123456789"], "a.tif", { lastModified: 7 });
let stop: AbortController;
/** What reached the bucket: number and content of each part. */
let parts: [string, string][];
let asked: string[];
let service: Record<string, () => Answer>;
/** What the bucket answers to a part; undefined: as it should. */
let bucketSays: (number: string) => { status: number; etag: string | null } | undefined;

interface Answer {
  data?: object;
  error?: object;
  response: { ok: boolean; status: number };
}

const json = (data: object): Answer => ({ data, response: { ok: true, status: 200 } });
const problem = (code: string, status: number): Answer => ({
  error: { code, what: "no", where: "", action: "", message: "no" }, response: { ok: false, status },
});

type By = (step: string, numbers: number[]) => Promise<Answer>;
const answered = vi.hoisted(() => ({}) as { by: By });

vi.mock("../api/client", async (original) => {
  const ask = (method: string) => (path: string, options: { body?: { numbers?: number[] } }) =>
    answered.by(`${method} ${path.split("/").at(-1)}`, options.body?.numbers ?? []);
  return { ...(await original<object>()), api: { GET: ask("GET"), POST: ask("POST"), DELETE: ask("DELETE") } };
});

answered.by = async (step, numbers) => {
  asked.push(step);
  if (service[step]) return service[step]();
  if (step === "POST addresses") return json({ urls: Object.fromEntries(numbers.map((number) => [number, `http://bucket/${number}`])) });
  return json(step === "POST direct" ? { id: "u1", part_bytes: PART, parts: 3 } : {});
};

/** As much of an XMLHttpRequest as is used. */
class Put {
  upload: { onprogress?: (event: { loaded: number }) => void } = {};
  onload?: () => void;
  onerror?: () => void;
  onloadend?: () => void;
  status = 0;
  private number = "";
  private etag: string | null = null;
  open = (_: string, url: string) => void (this.number = url.split("/").at(-1) as string);
  abort = () => undefined;
  getResponseHeader = () => this.etag;
  getAllResponseHeaders = () => (this.etag ? `date: now\r\netag: ${this.etag}\r\n` : "");
  send = async (part: Blob) => {
    const content = await new Promise<string>((done) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result as string);
      reader.readAsText(part);
    });
    const said = bucketSays(this.number) ?? { status: 200, etag: `"${this.number}"` };
    Object.assign(this, said);
    if (said.status === 200) parts.push([this.number, content]);
    this.upload.onprogress?.({ loaded: part.size });
    (said.status === 0 ? this.onerror : this.onload)?.();
    this.onloadend?.();
  };
}

const sending = () => ({ set: "s1", path: "a.tif", file, sent: () => undefined, signal: stop.signal });
const sendIt = (bucket = new Bucket()) => sendDirect(sending(), bucket);

beforeEach(() => {
  localStorage.clear();
  [stop, parts, asked, service, bucketSays] = [new AbortController(), [], [], {}, () => undefined];
  vi.stubGlobal("XMLHttpRequest", Put);
});
afterEach(() => vi.unstubAllGlobals());

test("a file goes to the bucket in parts, and the service puts them together", async () => {
  expect(await sendIt()).toBe(true);
  expect(parts.sort()).toEqual([["1", "0123"], ["2", "4567"], ["3", "89"]]);
  expect([asked[0], asked.at(-1), localStorage.length]).toEqual(["POST direct", "POST complete", 0]);
});

test("what was lost goes on with the parts that are missing, under the upload that was begun", async () => {
  bucketSays = (number) => (number === "3" ? { status: 503, etag: null } : undefined);
  await expect(sendIt()).rejects.toBeInstanceOf(NotNow);
  await vi.waitFor(() => expect(parts.length).toBe(2));
  [parts, asked, bucketSays] = [[], [], () => undefined];
  expect(await sendIt()).toBe(true);
  expect(parts).toEqual([["3", "89"]]);
  expect(asked).not.toContain("POST direct");
});

test("an upload that the service has given up begins anew", async () => {
  bucketSays = () => ({ status: 503, etag: null });
  await expect(sendIt()).rejects.toBeInstanceOf(NotNow);
  let gone = 1;
  service = { "POST addresses": () => (gone-- > 0 ? problem("E927", 404) : json({ urls: { 1: "http://bucket/1", 2: "http://bucket/2", 3: "http://bucket/3" } })) };
  [asked, bucketSays] = [[], () => undefined];
  expect(await sendIt()).toBe(true);
  expect(asked.slice(0, 2)).toEqual(["POST addresses", "POST direct"]);
});

test("a bucket that lets no page in is left alone: files go through the service", async () => {
  const bucket = new Bucket();
  bucketSays = () => ({ status: 0, etag: null });
  await expect(sendIt(bucket)).rejects.toBeInstanceOf(NotNow);
  const result = await sendIt(bucket).catch((error: unknown) => error);
  expect([result, bucket.closed]).toEqual([false, true]);
  expect([asked.includes("DELETE {upload_id}"), localStorage.length]).toEqual([true, 0]);
  asked = [];
  expect([await sendIt(bucket), asked]).toEqual([false, []]);
});

test("a bucket that hides the ETag from pages is left alone at once", async () => {
  const bucket = new Bucket();
  bucketSays = () => ({ status: 200, etag: null });
  expect([await sendIt(bucket), bucket.closed, asked.includes("DELETE {upload_id}")]).toEqual([false, true, true]);
});

test("a connection that is lost is not the bucket's fault", async () => {
  const bucket = new Bucket();
  service = { "GET about": () => { throw new TypeError("network"); } };
  bucketSays = () => ({ status: 0, etag: null });
  for (let times = 0; times < 4; times++) await expect(sendIt(bucket)).rejects.toBeInstanceOf(NotNow);
  expect(bucket.closed).toBe(false);
});

test("a store that takes no files is told by the service", async () => {
  service = { "POST direct": () => problem("E931", 409) };
  expect(await sendIt()).toBe(false);
  service = { "POST direct": () => problem("E922", 409) };
  await expect(sendIt()).rejects.toMatchObject({ problem: { code: "E922" } });
});

test("what is stopped for good is given up; what is paused is kept", async () => {
  bucketSays = (number) => {
    if (number === "2") stop.abort(new Stopped(false));
    return number === "3" ? { status: 503, etag: null } : undefined;
  };
  await expect(sendIt()).rejects.toBeInstanceOf(Stopped);
  expect([localStorage.length, asked.includes("DELETE {upload_id}")]).toEqual([1, false]);
  stop = new AbortController();
  bucketSays = () => {
    stop.abort(new Stopped(true));
    return { status: 503, etag: null };
  };
  await expect(sendIt()).rejects.toBeInstanceOf(Stopped);
  expect([localStorage.length, asked.includes("DELETE {upload_id}")]).toEqual([0, true]);
});
