/** Columns of the table as people read them: names and units. Pure functions. */

export interface Column {
  key: string;
  name: string;
  unit: string;
}

const UNITS: [RegExp, string][] = [[/_um2$/, "µm²"], [/_um$/, "µm"], [/_px$/, "px"]];
const NAMES: Record<string, string> = {
  label: "Number", t: "Time point", z: "Plane", x: "Position x", y: "Position y", x_min: "First column",
  y_min: "First row", x_max: "Column after the last", y_max: "Row after the last", area: "Area",
  equivalent_diameter: "Diameter", major_axis: "Long axis", minor_axis: "Short axis", perimeter: "Perimeter",
  eccentricity: "Eccentricity", orientation: "Orientation", circularity: "Circularity", solidity: "Solidity",
  extent: "Extent",
};
const STATISTICS: [string, string][] = [
  ["mean_", "Mean"], ["std_", "Standard deviation"], ["min_", "Lowest"], ["max_", "Highest"], ["sum_", "Sum"],
];

/** Return name and unit of a column. */
export function describe(key: string): Column {
  const [ending, found] = UNITS.find(([ending]) => ending.test(key)) ?? [/$^/, ""];
  const stem = key.replace(ending, "");
  const known = NAMES[stem];
  if (known) return { key, name: known, unit: key === "area_px" ? "px²" : key === "orientation" ? "rad" : found };
  const [prefix, statistic] = STATISTICS.find(([prefix]) => key.startsWith(prefix)) ?? [];
  if (prefix && statistic) return { key, name: `${statistic} of ${channelName(key.slice(prefix.length))}`, unit: "" };
  return { key, name: stem.replaceAll("_", " "), unit: found };
}

const channelName = (name: string) => (/^\d+$/.test(name) ? `channel ${name}` : name);

export const titled = ({ name, unit }: Column) => (unit ? `${name} (${unit})` : name);

const BOXES = /^[xy]_(min|max)_px$/;

/** Return what is worth a colour and a histogram: µm where both are there, no numbers of objects, no boxes. */
export function choices(keys: Iterable<string>): Column[] {
  const all = [...keys];
  const known = new Set(all);
  const doubled = (key: string) =>
    key.endsWith("_px") && (known.has(key.replace(/_px$/, "_um")) || known.has(key.replace(/_px$/, "_um2")));
  return all.filter((key) => !doubled(key) && !BOXES.test(key) && !["label", "t", "z"].includes(key)).map(describe);
}

const SIZES = ["area_um2", "area_px", "equivalent_diameter_um", "equivalent_diameter_px"];

/** Return the first column to look at. */
export const firstChoice = (columns: Column[]): string | undefined =>
  SIZES.find((key) => columns.some((column) => column.key === key)) ?? columns[0]?.key;

/** Four digits at most for what was measured; whole numbers whole. */
export function shown(value: number): string {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const text = Number.isInteger(value) || Math.abs(value) >= 1000 ? grouped(Math.round(value)) : String(Number(value.toPrecision(4)));
  return text.replace("-", "−");
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const grouped = (value: number) => whole.format(value).replaceAll(",", "\u2009");
