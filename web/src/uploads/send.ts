/** Sends one file to a set by tus, on from where an earlier attempt ended, and says what the service refused. */
import { DetailedError, Upload } from "tus-js-client";

import { Refusal, type Problem } from "../api/client";
import { token } from "../api/login";

const ENDPOINT = "/api/v1/uploads";
const CHUNK_BYTES = 64 * 2 ** 20;
/** Such files travel with their announcement, in one request. */
export const SMALL_BYTES = 4 * 2 ** 20;
/** Larger files are not read for a checksum before they are sent. */
const HASHED_BYTES = 256e6;

/** The connection is lost, or the service has no time: the same may work later. */
export class NotNow extends Error {}

/** Somebody stopped it: for now, or for good. */
export class Stopped extends Error {
  constructor(readonly forGood: boolean) {
    super("stopped");
  }
}

export interface Sending {
  set: string;
  path: string;
  file: File;
  sent: (bytes: number) => void;
  signal: AbortSignal;
}

/** Send a file; resolves when it stands in its set. Rejects with a `Refusal`, `NotNow`, or the signal's reason. */
export async function send(sending: Sending): Promise<void> {
  const sha256 = await digest(sending.file);
  sending.signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const upload = new Upload(sending.file, {
      endpoint: ENDPOINT,
      metadata: { set: sending.set, path: sending.path, ...(sha256 && { sha256 }) },
      fingerprint: () => Promise.resolve(fingerprint(sending)),
      chunkSize: CHUNK_BYTES,
      uploadDataDuringCreation: sending.file.size <= SMALL_BYTES,
      removeFingerprintOnSuccess: true,
      retryDelays: null,
      onBeforeRequest: (request) => {
        const known = token();
        if (known) request.setHeader("Authorization", `Bearer ${known}`);
      },
      onProgress: (bytes) => sending.sent(bytes),
      onSuccess: () => resolve(),
      onError: (error) => reject(reason(error)),
    });
    sending.signal.addEventListener("abort", () => {
      const reason = sending.signal.reason as Error;
      void upload.abort(reason instanceof Stopped && reason.forGood && upload.url !== null).catch(() => undefined);
      reject(reason);
    });
    void start(upload);
  });
}

/** Under which an upload is found again after the page was loaded anew and the same file was chosen. */
export const fingerprint = ({ set, path, file }: Sending) => ["cellfleet", set, path, file.size, file.lastModified].join("|");

async function start(upload: Upload): Promise<void> {
  const [earlier] = await upload.findPreviousUploads();
  if (earlier) upload.resumeFromPreviousUpload(earlier);
  upload.start();
}

/** Busy; or an earlier connection is still being read, so that the bytes go on elsewhere than was thought. */
const isNotNow = (status: number, code: string) =>
  status === 0 || (status >= 500 && status !== 507) || status === 423 || status === 429 || (status === 409 && code !== "E922");

function reason(error: Error): Error {
  const response = error instanceof DetailedError ? error.originalResponse : null;
  const status = response?.getStatus() ?? 0;
  const problem = problemOf(response?.getBody());
  return isNotNow(status, problem.code) ? new NotNow(error.message, { cause: error }) : new Refusal(problem, status);
}

function problemOf(body?: string): Problem {
  try {
    const told = JSON.parse(body ?? "") as Problem;
    if (told.code && told.what) return told;
  } catch {
    // Not the service's own words: something between it and us has answered.
  }
  return { ...UNKNOWN };
}

const UNKNOWN: Problem = {
  code: "E962",
  what: "the file was refused by something that is not the service",
  where: "",
  action: "Ask whoever runs the network, then try again",
  message: "The file was refused by something that is not the service. [E962]",
};

let last: Promise<unknown> = Promise.resolve();

/** SHA-256 in hexadecimal digits, one file at a time; undefined for large files, and where the browser has none. */
export function digest(file: File): Promise<string | undefined> {
  // Browsers offer it over https and on this machine only.
  if (file.size > HASHED_BYTES || !globalThis.crypto?.subtle) return Promise.resolve(undefined);
  const next = last.then(() => hash(file));
  last = next.catch(() => undefined);
  return next;
}

async function hash(file: File): Promise<string | undefined> {
  try {
    const sum = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    return [...new Uint8Array(sum)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  } catch {
    // The file cannot be read any more, or is too large for this browser: sending it tells.
    return undefined;
  }
}
