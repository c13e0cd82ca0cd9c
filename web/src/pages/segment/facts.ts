/** What is known of the images that were chosen: how many, how large, and which questions about them are open. */
import { Refusal } from "../../api/client";
import type { Draft, Item } from "../../uploads/draft";
import type { Inspected, Look } from "./looks";
import { inputsOf, MOST_INPUTS } from "./request";
import { words } from "./words";

export interface Facts {
  images: number;
  /** Of archives and files of several images the number is not fully known. */
  more: boolean;
  /** Over all images, extrapolated from those that were looked at; undefined: none was. */
  pixels?: number;
  /** Whether some images were not looked at. */
  guessed: boolean;
  ready: number;
  asking: number;
  unreadable: number;
  /** Images without pixel size, and the sizes that others have, µm. */
  withoutSize: number;
  sizes: number[];
  /** The first image whose dimensions nobody knows. */
  unclear?: Item;
  channelNames: string[];
}

/** Pixels of one channel: what the model looks at. */
export function pixelsOf({ axes, shape }: Inspected): number {
  return shape.reduce((product, length, at) => ("CS".includes(axes[at] as string) ? product : product * length), 1);
}

const AXES_CODES = new Set(["E201", "E202", "E203"]);
export const isUnclear = (error?: Error) => error instanceof Refusal && AXES_CODES.has(error.problem.code);
const isRefused = (error: Error) => error instanceof Refusal && error.status >= 400 && error.status < 500;

const NOT_YET: Look = {};

export function factsOf(items: readonly Item[], looks: Map<string, Look>): Facts {
  const facts: Facts = {
    images: 0, more: false, guessed: false, ready: 0, asking: 0, unreadable: 0, withoutSize: 0, sizes: [], channelNames: [],
  };
  let [seen, pixels] = [0, 0];
  for (const item of items) {
    const { data, error } = (item.input && looks.get(item.input)) || NOT_YET;
    const inside = data ? data.images.length : 1;
    facts.images += inside;
    facts.more ||= data ? data.more_images : item.archive && !error;
    if (data) {
      seen += inside;
      pixels += inside * pixelsOf(data);
      addLook(facts, data);
    } else if (error) {
      addError(facts, item, error);
    }
  }
  facts.guessed = seen < facts.images - facts.unreadable;
  if (seen > 0) facts.pixels = (pixels / seen) * (facts.images - facts.unreadable);
  facts.sizes = [...new Set(facts.sizes)].sort((a, b) => a - b);
  return facts;
}

function addLook(facts: Facts, look: Inspected): void {
  facts.ready++;
  if (look.microns_per_pixel === null) facts.withoutSize++;
  else facts.sizes.push(look.microns_per_pixel);
  if (look.channel_names.length > facts.channelNames.length) facts.channelNames = look.channel_names;
}

function addError(facts: Facts, item: Item, error: Error): void {
  if (isUnclear(error)) {
    facts.asking++;
    facts.unclear ??= item;
  } else if (isRefused(error)) {
    facts.unreadable++;
  }
}

/** Codes of a preview that ask for the channel. */
const CHANNEL_CODES = new Set(["E210", "E211", "E212", "E213", "E214"]);
export const asksForChannel = (error?: Error | null) =>
  error instanceof Refusal && CHANNEL_CODES.has(error.problem.code);

/** The first question that must be answered before the job can be made; undefined: none. */
export function openQuestion(draft: Draft, facts: Facts, previewError: Error | null, viewer: boolean): string | undefined {
  const { questions } = words;
  const number = (...states: Item["state"][]) => draft.items.filter(({ state }) => states.includes(state)).length;
  if (viewer) return questions.viewer;
  if (draft.items.length === 0) return questions.none;
  const [refused, missing, under] = [number("refused"), number("missing"), number("waiting", "sending")];
  if (refused > 0) return questions.refused(refused);
  if (missing > 0) return questions.missing(missing);
  if (under > 0) return draft.paused ? questions.paused : questions.sending(under, secondsLeft(draft));
  if (facts.unclear) return questions.axes(facts.unclear.path.split("/").at(-1) as string);
  if (inputsOf(draft).length > MOST_INPUTS) return questions.inputs(MOST_INPUTS);
  if (facts.unreadable === draft.items.length) return questions.unreadable;
  return asksForChannel(previewError) ? questions.channel : undefined;
}

export function secondsLeft({ size, sent, rate }: Draft): number | undefined {
  return rate === undefined ? undefined : (size - sent) / rate;
}

export interface Reading {
  axes: string;
  /** Such as "12 z-planes". */
  name: string;
}

/** The readings of an image's dimensions that the service offers, in its error or notice. */
export function readingsOf(look: Look): Reading[] {
  const error = look.error instanceof Refusal ? look.error.problem : undefined;
  const notice = look.data?.notices.find(({ code }) => code === "W103");
  const text = error?.what ?? notice?.what ?? "";
  const pages = /^(\d+) (?:pages|\w+) and no axis/.exec(text)?.[1] ?? "";
  const offered = [...text.matchAll(/--axes ([A-Z]+)/g)].map(([, axes]) => axes as string);
  if (notice && look.data) offered.unshift(look.data.axes);
  return [...new Set(offered)].map((axes) => {
    const letter = [..."CZTS"].find((one) => axes.includes(one)) ?? "";
    const word = words.axes.names[letter];
    return { axes, name: word ? `${letter === "S" ? "" : pages} ${word}`.trim() : axes };
  });
}
