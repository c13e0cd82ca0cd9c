/** Numbers, times and sizes as people read them. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const cents = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** 12 345 with thin spaces, as in the tables of the report. */
export const count = (value: number): string => whole.format(value).replaceAll(",", "\u2009");

/** "1 image", "2 images". */
export const counted = (value: number, one: string, many = `${one}s`): string => `${count(value)} ${value === 1 ? one : many}`;

const STEPS: [number, string][] = [
  [86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"],
];

/** "2 h 5 min", "45 s"; two units at most. */
export function duration(seconds: number): string {
  let left = Math.max(0, Math.round(seconds));
  const parts: string[] = [];
  for (const [size, unit] of STEPS) {
    const here = Math.floor(left / size);
    left -= here * size;
    if (here > 0) parts.push(`${here} ${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ") || "0 s";
}

/** "3 min ago", then the date. */
export function ago(ms: number, now = Date.now()): string {
  const seconds = (now - ms) / 1000;
  if (seconds < 5) return "just now";
  if (seconds < 86_400) return `${duration(seconds).split(" ").slice(0, 2).join(" ")} ago`;
  return new Date(ms).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

export const clock = (at: Date): string => at.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });

/** "12.3 MB"; powers of 1000, as disks are sold. */
export function bytes(size: number): string {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let value = size;
  let at = 0;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at += 1;
  }
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

/** "1.75 Gpx", "0.4 Mpx". */
export function pixels(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toPrecision(3)} Gpx`;
  return `${value >= 1e7 ? Math.round(value / 1e6) : (value / 1e6).toPrecision(2)} Mpx`;
}

/** "$12.34", "$0.0042": a small amount keeps two digits, so that it is not told as nothing. */
export function dollars(usd: number): string {
  if (usd > 0 && usd < 1e-4) return "< $0.0001";
  if (usd >= 1 || usd === 0) return `$${cents.format(usd).replaceAll(",", "\u2009")}`;
  return `$${usd.toPrecision(2)}`;
}
