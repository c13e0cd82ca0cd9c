/**
 * Sends a file straight to the bucket of the service, in parts whose addresses the service signs; several at a time, on
 * from where an earlier attempt ended, after a reload too. The bucket sees neither the token nor anything else.
 */
import { answer, api, Refusal, type Problem, type Schemas } from "../api/client";
import { digest, fingerprint, NotNow, Stopped, type Sending } from "./send";

const AT_ONCE = 3;
/** A bucket that lets no page in looks like a lost connection. So often in a row it is believed. */
const MOST_SILENCES = 2;

/** What this browser remembers of an upload. */
interface Begun extends Pick<Schemas["DirectUpload"], "id" | "part_bytes" | "parts"> {
  /** ETags of the parts that have arrived, by number. */
  etags: Record<number, string>;
}

/** The bucket does not answer although the service does; or does not tell the page what it needs. */
class Closed extends Error {}

/** Whether a bucket takes files from this page, as far as it is known. */
export class Bucket {
  private silences = 0;
  private heard = false;
  /** Set when it has turned out that the bucket lets no pages in. */
  closed = false;

  answered(): void {
    [this.heard, this.silences] = [true, 0];
  }

  /** Note that it did not answer. Throws `NotNow` while that may be the connection, then `Closed`. */
  silent(): never {
    this.silences++;
    if (this.heard || this.silences < MOST_SILENCES) throw new NotNow("the bucket does not answer");
    throw new Closed();
  }
}

/**
 * Send a file. Resolves to true when it stands in its set, to false where it has to go through the service.
 *
 * Rejects with a `Refusal`, `NotNow`, or the signal's reason.
 */
export async function sendDirect(sending: Sending, bucket: Bucket): Promise<boolean> {
  if (bucket.closed) return false;
  try {
    const begun = (await known(sending)) ?? (await begin(sending));
    if (!begun) return false;
    await finish(sending, begun, bucket);
    return true;
  } catch (error) {
    if (sending.signal.aborted) {
      if ((sending.signal.reason as Stopped).forGood) await giveUp(sending);
      throw sending.signal.reason;
    }
    if (!(error instanceof Closed)) throw notNow(error);
    bucket.closed = true;
    await giveUp(sending);
    return false;
  }
}

/** What the service cannot do now, it may do later. */
const notNow = (error: unknown): unknown =>
  error instanceof Refusal && (error.status === 0 || error.status === 429 || (error.status >= 500 && error.status !== 507))
    ? new NotNow(error.message, { cause: error })
    : error;

const isGone = (error: unknown) => error instanceof Refusal && (error.status === 404 || error.status === 410);

const place = ({ set }: Sending, id: string) => ({ path: { set_id: set, upload_id: id } });

/** The upload that was begun before, if the service still knows it. */
async function known(sending: Sending): Promise<Begun | undefined> {
  const begun = recall(sending);
  if (!begun || Object.keys(begun.etags).length === begun.parts) return begun;
  try {
    await addressOf(sending, begun, 1);
    return begun;
  } catch (error) {
    if (!isGone(error)) throw error;
    forget(sending);
    return undefined;
  }
}

async function begin(sending: Sending): Promise<Begun | undefined> {
  const { set, path, file } = sending;
  const sha256 = await digest(file);
  sending.signal.throwIfAborted();
  try {
    const asked = api.POST("/api/v1/sets/{set_id}/direct", { params: { path: { set_id: set } }, body: { path, size: file.size, sha256 } });
    const { id, part_bytes, parts } = await answer(asked);
    const begun = { id, part_bytes, parts, etags: {} };
    keep(sending, begun);
    return begun;
  } catch (error) {
    if (error instanceof Refusal && error.problem.code === "E931") return undefined;
    throw error;
  }
}

async function addressOf(sending: Sending, { id }: Begun, number: number): Promise<string> {
  const params = place(sending, id);
  const asked = api.POST("/api/v1/sets/{set_id}/direct/{upload_id}/addresses", { params, body: { numbers: [number] }, signal: sending.signal });
  return (await answer(asked)).urls[String(number)] as string;
}

async function finish(sending: Sending, begun: Begun, bucket: Bucket): Promise<void> {
  await sendParts(sending, begun, bucket);
  const parts = Object.entries(begun.etags).map(([number, etag]) => ({ number: Number(number), etag }));
  try {
    await answer(api.POST("/api/v1/sets/{set_id}/direct/{upload_id}/complete", { params: place(sending, begun.id), body: { parts } }));
  } catch (error) {
    if (!(error instanceof Refusal && error.status >= 400 && error.status < 500 && error.status !== 429)) throw error;
    // What was refused cannot be completed later either: it begins anew, by itself where it was only forgotten.
    forget(sending);
    throw isGone(error) ? new NotNow(error.message, { cause: error }) : error;
  }
  forget(sending);
}

/** Send what is missing. The first part that fails ends the others. */
async function sendParts(sending: Sending, begun: Begun, bucket: Bucket): Promise<void> {
  const bytes = new Map<number, number>();
  const ended = new AbortController();
  const signal = AbortSignal.any([sending.signal, ended.signal]);
  const sent = (number: number, count: number) => {
    bytes.set(number, count);
    sending.sent([...bytes.values()].reduce((sum, one) => sum + one, 0));
  };
  const left: number[] = [];
  for (let number = 1; number <= begun.parts; number++) {
    if (begun.etags[number]) bytes.set(number, partOf(sending, begun, number).size);
    else left.push(number);
  }
  const work = async () => {
    for (let number = left.shift(); number !== undefined; number = left.shift()) {
      const at = number;
      begun.etags[at] = await sendPart({ ...sending, signal, sent: (count) => sent(at, count) }, begun, at, bucket);
      sent(at, partOf(sending, begun, at).size);
      keep(sending, begun);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  } finally {
    ended.abort(new Stopped(false));
  }
}

const partOf = ({ file }: Sending, { part_bytes: size }: Begun, number: number): Blob => file.slice((number - 1) * size, number * size);

/** Send a part and return its ETag. The address is asked for when its turn has come: it lasts for an hour. */
async function sendPart(sending: Sending, begun: Begun, number: number, bucket: Bucket): Promise<string> {
  const address = await addressOf(sending, begun, number);
  const { status, etag } = await put(address, partOf(sending, begun, number), sending);
  if (status === 0) {
    // Whether it is the connection, the service tells: it answers, or this throws.
    await answer(api.GET("/api/v1/about", {}));
    bucket.silent();
  }
  if (status >= 500 || status === 429) throw new NotNow(`the bucket answers ${status}`);
  if (status >= 400) throw new Refusal(refused(status), status);
  if (!etag) throw new Closed();
  bucket.answered();
  return etag;
}

/** `fetch` does not tell how much has been sent. */
function put(address: string, part: Blob, { sent, signal }: Sending): Promise<{ status: number; etag: string | null }> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.open("PUT", address);
    request.upload.onprogress = ({ loaded }) => sent(loaded);
    request.onabort = () => reject(signal.reason as Error);
    request.onerror = () => resolve({ status: 0, etag: null });
    // A header that the bucket does not show to pages may not even be asked for.
    const etag = () => (/^etag:/im.test(request.getAllResponseHeaders()) ? request.getResponseHeader("ETag") : null);
    request.onload = () => resolve({ status: request.status, etag: etag() });
    request.onloadend = () => signal.removeEventListener("abort", stop);
    signal.addEventListener("abort", stop);
    if (signal.aborted) reject(signal.reason as Error);
    // Without a type, so that the bucket sees a plain PUT.
    else request.send(part.slice(0, part.size, ""));
  });
}

async function giveUp(sending: Sending): Promise<void> {
  const begun = recall(sending);
  forget(sending);
  if (!begun) return;
  const params = place(sending, begun.id);
  // What is not given up here expires by itself.
  await api.DELETE("/api/v1/sets/{set_id}/direct/{upload_id}", { params }).catch(() => undefined);
}

const keyOf = (sending: Sending) => `direct|${fingerprint(sending)}`;

function recall(sending: Sending): Begun | undefined {
  try {
    const found = JSON.parse(localStorage.getItem(keyOf(sending)) ?? "null") as Begun | null;
    return found?.id && found.etags ? found : undefined;
  } catch {
    return undefined;
  }
}

function keep(sending: Sending, begun: Begun): void {
  try {
    localStorage.setItem(keyOf(sending), JSON.stringify(begun));
  } catch {
    // The browser's memory is full: only a reload would miss it.
  }
}

const forget = (sending: Sending) => localStorage.removeItem(keyOf(sending));

function refused(status: number): Problem {
  const what = `the service's bucket answers ${status} to a part of this file`;
  const action = "Try again; if that does not help, ask who runs the service to look at the bucket";
  return { code: "E969", what, where: "", action, message: `${what}. ${action}. [E969]` };
}
