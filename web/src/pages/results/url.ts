/** The view as the part of an address after #: what one sees, for somebody else. Pure functions. */
import type { Rgb } from "../../viewer/paint";
import type { View } from "../../viewer/view";

/** How two jobs are compared: drawn together, one on each side of a border, or in turns. */
export const COMPARE_MODES = ["together", "swipe", "blink"] as const;
export type CompareMode = (typeof COMPARE_MODES)[number];

export interface LinkedChannel {
  visible: boolean;
  colour: Rgb;
  window: [number, number];
}

export interface Linked {
  view?: View;
  channels?: LinkedChannel[];
  outlines?: boolean;
  /** Whether the nuclei of cells are outlined, too. */
  nuclei?: boolean;
  fill?: number;
  colourBy?: string;
  /** Column of the histogram. */
  column?: string;
  pinned?: number;
  t?: number;
  z?: number;
  compare?: string;
  mode?: CompareMode;
  range?: [number, number];
}

const switched = (on?: boolean) => (on === undefined ? undefined : on ? "1" : "0");
const short = (value: number) => String(Number(value.toPrecision(7)));
const hex = (colour: Rgb) => colour.map((part) => part.toString(16).padStart(2, "0")).join("");

/** Return the text after #. */
export function toHash(state: Linked): string {
  const { view, channels, outlines, nuclei, fill, colourBy, column, pinned, t, z, compare, mode, range } = state;
  const one = ({ visible, colour, window }: LinkedChannel) =>
    [visible ? 1 : 0, hex(colour), short(window[0]), short(window[1])].join(",");
  const parts: [string, string | number | undefined][] = [
    ["at", view && [view.x.toFixed(1), view.y.toFixed(1), view.zoom.toFixed(3)].join(",")],
    ["ch", channels?.map(one).join(";")],
    ["outlines", switched(outlines)],
    ["nuclei", switched(nuclei)],
    ["fill", fill === undefined ? undefined : short(fill)],
    ["by", colourBy],
    ["column", column],
    ["range", range?.map(short).join(",")],
    ["object", pinned],
    ["t", t],
    ["z", z],
    ["compare", compare],
    ["mode", compare && mode],
  ];
  const told = new URLSearchParams();
  for (const [name, value] of parts) if (value) told.set(name, String(value));
  return told.toString().replaceAll("%2C", ",").replaceAll("%3B", ";");
}

/** Read what `toHash` wrote, or what somebody typed: what makes no sense is left out. */
export function fromHash(hash: string): Linked {
  const told = new URLSearchParams(hash.replace(/^#/, ""));
  const [x, y, zoom] = numbers(told.get("at"));
  const view = x !== undefined && y !== undefined && zoom !== undefined ? { x, y, zoom } : undefined;
  const [low, high] = numbers(told.get("range"));
  const whole = (name: string) => {
    const text = told.get(name);
    return text && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  };
  const isOn = (name: string) => (told.has(name) ? told.get(name) !== "0" : undefined);
  const [fill] = numbers(told.get("fill"));
  return {
    view,
    channels: channelsOf(told.get("ch")),
    outlines: isOn("outlines"),
    nuclei: isOn("nuclei"),
    fill: fill === undefined ? undefined : Math.min(1, Math.max(0, fill)),
    colourBy: told.get("by") ?? undefined,
    column: told.get("column") ?? undefined,
    range: low !== undefined && high !== undefined && low <= high ? [low, high] : undefined,
    pinned: whole("object"),
    t: whole("t"),
    z: whole("z"),
    compare: told.get("compare") ?? undefined,
    mode: modeOf(told.get("mode")),
  };
}

function numbers(text: string | null): (number | undefined)[] {
  if (!text) return [];
  return text.split(",").map((part) => (part !== "" && Number.isFinite(Number(part)) ? Number(part) : undefined));
}

function channelsOf(text: string | null): LinkedChannel[] | undefined {
  if (!text) return undefined;
  const found = text.split(";").map((part): LinkedChannel | undefined => {
    const [visible, colour = "", low, high] = part.split(",");
    const [from, to] = numbers(`${low},${high}`);
    if (!/^[0-9a-f]{6}$/i.test(colour) || from === undefined || to === undefined) return undefined;
    return { visible: visible !== "0", colour: colourOfHex(colour), window: [from, to] };
  });
  return found.every((channel) => channel !== undefined) ? found : undefined;
}

const modeOf = (text: string | null) => COMPARE_MODES.find((mode) => mode === text);

/** "00FFFF" → red, green, blue. */
export function colourOfHex(text: string): Rgb {
  return [0, 2, 4].map((at) => parseInt(text.slice(at, at + 2), 16)) as [number, number, number];
}
