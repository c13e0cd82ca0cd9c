/**
 * The images of the next job (or of the next training): files that are sent to a set in the background, whichever page is shown, and addresses.
 *
 * Lives outside React; `useDraft` shows it. Three files are sent at a time. While the connection is lost one of them is
 * tried again, with growing pauses.
 */
import { Refusal, type Problem } from "../api/client";
import { ENDINGS, entriesOf, isArchive, type Chosen } from "./chosen";
import { claim, claimed, Memory } from "./remembered";
import { NotNow, Stopped, type Sending } from "./send";

export type State = "waiting" | "sending" | "up" | "refused" | "missing";

/** One image, or one archive of images; never changed, but replaced. */
export interface Item {
  /** Path in the set, or address. */
  readonly path: string;
  /** As an input of a job. Undefined: nothing is up yet. */
  readonly input?: string;
  readonly state: State;
  readonly size: number;
  readonly sent: number;
  readonly archive: boolean;
  readonly problem?: Problem;
}

export interface Draft {
  readonly set?: string;
  readonly name: string;
  readonly items: readonly Item[];
  /** Of all files that are sent or waiting. */
  readonly size: number;
  readonly sent: number;
  /** Bytes per second over the last seconds; undefined while it is not known. */
  readonly rate?: number;
  readonly paused: boolean;
  readonly lost: boolean;
  /** Endings and number of files that are no images. */
  readonly others: readonly string[];
  /** Whether files were taken out that are in the set already, so that the set as a whole is not meant. */
  readonly partial: boolean;
}

/** What the draft asks of the service. */
export interface Service {
  newSet: (name: string) => Promise<string>;
  /** Path and size of the whole files of a set. */
  files: (set: string) => Promise<Map<string, number>>;
  deleteSet: (set: string) => Promise<void>;
  send: (sending: Sending) => Promise<void>;
}

interface Part {
  path: string;
  size: number;
  modified: number;
  file?: File;
  sent: number;
  state: State;
  problem?: Problem;
  stop?: AbortController;
}

interface Image {
  path: string;
  parts: Part[];
  address?: string;
}

const AT_ONCE = 3;
const TELL_MS = 200;
const LONGEST_PAUSE_MS = 30_000;
const RATE_MS = 8_000;
const EMPTY: Draft = { name: "", items: [], size: 0, sent: 0, paused: false, lost: false, others: [], partial: false };

export class Drafts {
  private images = new Map<string, Image>();
  private shown = new Map<string, { key: string; item: Item }>();
  private now: Draft = EMPTY;
  private heard = new Set<() => void>();
  private timer?: ReturnType<typeof setTimeout>;
  private set?: Promise<string>;
  private setId?: string;
  private others: string[] = [];
  private paused = false;
  private partial = false;
  private pauseMs = 0;
  private samples: { at: number; sent: number }[] = [];
  private began?: Promise<void>;

  /** `endings`: of the files that are taken. */
  constructor(
    private service: Service,
    private memory = new Memory("cellfleet-uploads"),
    private endings = ENDINGS,
  ) {}

  readonly get = (): Draft => this.now;

  readonly subscribe = (tell: () => void): (() => void) => {
    this.heard.add(tell);
    return () => this.heard.delete(tell);
  };

  /** Take up what an earlier load of the page has left; later calls change nothing. */
  restore(): Promise<void> {
    this.began ??= this.takeUp();
    return this.began;
  }

  addFiles(chosen: Chosen[]): void {
    const { entries, others } = entriesOf(chosen, this.endings);
    this.others.push(...others.map(({ path }) => path));
    for (const { path, files } of entries) {
      const known = this.images.get(path);
      const attached = known && this.attach(known, files);
      if (attached) continue;
      const free = known ? this.freePath(path) : path;
      const parts = files.map((one) => partOf(free + one.path.slice(path.length), one.file));
      this.images.set(free, { path: free, parts });
    }
    this.changed(true);
    this.pump();
  }

  /** Add what is there already: an address, a path of the server, or a file of a set. */
  addAddress(address: string, shown = address): void {
    if (!this.images.has(shown)) this.images.set(shown, { path: shown, parts: [], address });
    this.changed(true);
  }

  /** Take images out; what is not up yet is not sent. */
  remove(paths: Iterable<string>): void {
    for (const path of paths) {
      const image = this.images.get(path);
      if (!image) continue;
      image.parts.forEach((part) => part.stop?.abort(new Stopped(true)));
      if (image.parts.some((part) => part.state === "up")) this.partial = true;
      this.images.delete(path);
    }
    if (this.images.size === 0) this.clear(true);
    this.changed(true);
    this.pump();
  }

  /** Begin anew; with `gone`, the set goes too. Without, it belongs to a job. */
  clear(gone: boolean): void {
    const set = this.setId;
    for (const { parts } of this.images.values()) parts.forEach((part) => part.stop?.abort(new Stopped(true)));
    this.images.clear();
    this.shown.clear();
    Object.assign(this, { set: undefined, setId: undefined, others: [], paused: false, partial: false, pauseMs: 0 });
    this.memory.forget();
    if (gone && set) void this.service.deleteSet(set).catch(() => undefined);
    this.changed(true);
  }

  pause(): void {
    this.paused = true;
    for (const part of this.parts()) part.stop?.abort(new Stopped(false));
    this.changed();
  }

  goOn(): void {
    this.paused = false;
    this.pauseMs = 0;
    for (const part of this.parts()) if (part.state === "refused" && part.file) part.state = "waiting";
    this.changed();
    this.pump();
  }

  dismissOthers(): void {
    this.others = [];
    this.changed();
  }

  private async takeUp(): Promise<void> {
    const found = this.memory.remembered();
    if (!found || (await claimed(found.set))) return;
    let whole: Map<string, number>;
    try {
      whole = await this.service.files(found.set);
    } catch (error) {
      if (error instanceof Refusal && error.status === 404) this.memory.forget();
      this.began = undefined; // the service may answer later
      return;
    }
    this.setId = found.set;
    this.set = Promise.resolve(found.set);
    claim(found.set);
    for (const { path, files } of entriesOf(found.files, this.endings).entries) {
      const parts = files.map((file): Part => {
        const up = whole.has(file.path);
        return { ...file, modified: 0, sent: up ? file.size : 0, state: up ? "up" : "missing" };
      });
      if (!this.images.has(path)) this.images.set(path, { path, parts });
    }
    this.changed(true);
  }

  /** Give files to an image that waits for them. Whether they belong to it at all. */
  private attach(known: Image, files: Chosen[]): boolean {
    const parts = new Map(known.parts.map((part) => [part.path, part]));
    for (const { path, file } of files) {
      const part = parts.get(path);
      if (!part || part.size !== file.size || (part.modified && part.modified !== file.lastModified)) return false;
    }
    for (const { path, file } of files) {
      const part = parts.get(path) as Part;
      part.file = file;
      part.modified = file.lastModified;
      if (part.state === "missing" || part.state === "refused") part.state = "waiting";
    }
    return true;
  }

  private freePath(path: string): string {
    const [, stem, ending] = /^(.*?)((?:\.ome)?\.[^./]+)$/i.exec(path) ?? [path, path, ""];
    for (let number = 2; ; number++) {
      const free = `${stem} (${number})${ending}`;
      if (!this.images.has(free)) return free;
    }
  }

  private *parts(): Iterable<Part> {
    for (const { parts } of this.images.values()) yield* parts;
  }

  private pump(): void {
    if (this.paused) return;
    let running = 0;
    const waiting: Part[] = [];
    for (const part of this.parts()) {
      if (part.state === "sending") running++;
      else if (part.state === "waiting" && part.file && waiting.length < AT_ONCE) waiting.push(part);
    }
    const most = this.pauseMs > 0 ? 1 : AT_ONCE;
    for (const part of waiting.slice(0, Math.max(0, most - running))) void this.run(part);
  }

  private async run(part: Part): Promise<void> {
    const stop = new AbortController();
    Object.assign(part, { state: "sending", stop, problem: undefined });
    this.changed();
    try {
      const set = await this.theSet();
      const sent = (bytes: number) => {
        part.sent = bytes;
        this.pauseMs = 0;
        this.changed();
      };
      await this.service.send({ set, path: part.path, file: part.file as File, sent, signal: stop.signal });
      Object.assign(part, { state: "up", sent: part.size, file: undefined });
      this.pauseMs = 0;
    } catch (error) {
      await this.failed(part, error);
    }
    part.stop = undefined;
    this.changed();
    if (this.pauseMs === 0) this.pump();
    else setTimeout(() => this.pump(), this.pauseMs);
  }

  private async failed(part: Part, error: unknown): Promise<void> {
    if (error instanceof Stopped) part.state = "waiting";
    else if (error instanceof NotNow || (error instanceof Refusal && (error.status === 0 || error.status >= 503))) {
      const readable = await part.file?.slice(0, 1).arrayBuffer().then(() => true, () => false);
      Object.assign(part, readable ? { state: "waiting" } : { state: "refused", problem: UNREADABLE });
      if (readable) this.pauseMs = Math.min(2 * (this.pauseMs || 500), LONGEST_PAUSE_MS);
    } else {
      Object.assign(part, { state: "refused", sent: 0, problem: problemOf(error) });
    }
  }

  private theSet(): Promise<string> {
    this.set ??= this.service.newSet(nameOf(this.images)).then(
      (id) => {
        this.setId = id;
        claim(id);
        this.changed(true);
        return id;
      },
      (error: unknown) => {
        this.set = undefined;
        throw error;
      },
    );
    return this.set;
  }

  /** Show the new state soon; with `kept`, also remember it for the next load of the page. */
  private changed(kept = false): void {
    if (kept) {
      this.tell();
      this.keep();
    } else {
      this.timer ??= setTimeout(() => this.tell(), TELL_MS);
    }
  }

  private keep(): void {
    if (!this.setId) return;
    const files = [...this.parts()].map(({ path, size }) => ({ path, size }));
    this.memory.remember({ set: this.setId, files });
  }

  private tell(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    let [size, sent] = [0, 0];
    for (const part of this.parts()) {
      if (part.state === "refused" || part.state === "missing") continue;
      size += part.size;
      sent += part.sent;
    }
    const { others, paused, partial, setId: set } = this;
    const name = nameOf(this.images);
    const items = [...this.images.values()].map((image) => this.item(image));
    this.now = { set, name, items, size, sent, rate: this.rate(sent), paused, lost: this.pauseMs > 0, others: [...others], partial };
    this.heard.forEach((tell) => tell());
  }

  /** Return the image as it is shown: the same object as long as nothing has changed. */
  private item(image: Image): Item {
    const { path, parts, address } = image;
    const size = total(parts, "size");
    const sent = total(parts, "sent");
    const state = address ? "up" : stateOf(parts);
    const problem = parts.find((part) => part.problem)?.problem;
    const key = [state, size, sent, this.setId, problem?.code].join();
    const known = this.shown.get(path);
    if (known?.key === key) return known.item;
    const input = address ?? (this.setId && `set:${this.setId}/${path}`);
    const item: Item = { path, input, state, size, sent, archive: isArchive(path), problem };
    this.shown.set(path, { key, item });
    return item;
  }

  private rate(sent: number): number | undefined {
    const at = Date.now();
    const last = this.samples.at(-1);
    if (last && sent < last.sent) this.samples = [];
    this.samples = [...this.samples.filter((one) => at - one.at < RATE_MS), { at, sent }];
    const first = this.samples[0] as { at: number; sent: number };
    return at - first.at > 1000 && sent > first.sent ? (1000 * (sent - first.sent)) / (at - first.at) : undefined;
  }
}

const UNREADABLE: Problem = {
  code: "E973",
  what: "this file cannot be read any more",
  where: "",
  action: "Check that it is still there and did not change, then choose it again",
  message: "This file cannot be read any more. Check that it is still there and did not change, then choose it again. [E973]",
};

const partOf = (path: string, file: File): Part => ({
  path, file, size: file.size, modified: file.lastModified, sent: 0, state: "waiting",
});

const total = (parts: Part[], key: "size" | "sent") => parts.reduce((sum, part) => sum + part[key], 0);

function stateOf(parts: Part[]): State {
  const has = (state: State) => parts.some((part) => part.state === state);
  for (const state of ["refused", "missing", "sending"] as const) if (has(state)) return state;
  if (!has("waiting")) return "up";
  return has("up") ? "sending" : "waiting";
}

/** The folder that all are in; else the first image, "and 3 more". */
function nameOf(images: Map<string, Image>): string {
  const [first] = images.values();
  if (!first) return "";
  const name = first.path.replace(/\/+$/, "").split("/").at(-1) as string;
  const folder = /^([^/]+)\//.exec(first.path)?.[1];
  if (folder && !first.address && [...images.keys()].every((path) => path.startsWith(`${folder}/`))) return folder.slice(0, 200);
  return images.size > 1 ? `${name.slice(0, 160)} and ${images.size - 1} more` : name.slice(0, 200);
}

function problemOf(error: unknown): Problem {
  if (error instanceof Refusal) return error.problem;
  const what = error instanceof Error ? error.message : String(error);
  return { code: "E962", what, where: "", action: "Try again", message: what };
}
