/** Months, the heights of the chart, and the table of bills. Pure. */
import type { Schemas } from "../../api/client";

type Bill = Schemas["Bill"];

/** "2026-11" and −1 → "2026-10". */
export function shifted(month: string, by: number): string {
  const [year = 0, one = 1] = month.split("-").map(Number);
  return new Date(Date.UTC(year, one - 1 + by)).toISOString().slice(0, 7);
}

/** "November 2026" */
export const monthName = (month: string): string =>
  new Date(`${month}-01T00:00:00Z`).toLocaleDateString("en", { month: "long", year: "numeric", timeZone: "UTC" });

export const daysIn = (month: string): number => Number(new Date(Date.parse(`${shifted(month, 1)}-01T00:00:00Z`) - 1).getUTCDate());

export interface Day {
  day: number;
  usd: number;
  /** With all days before. */
  sum: number;
}

/** The days up to the last on which a job was submitted. */
export function addedUp(usd: readonly number[]): Day[] {
  let sum = 0;
  return usd.map((amount, index) => ({ day: index + 1, usd: amount, sum: (sum += amount) }));
}

const COLUMNS = [
  "job", "name", "user", "submitted", "final", "images", "pixels", "machine", "region", "spot", "seconds", "gpu_seconds", "usd_per_hour",
  "machine_usd", "requests_usd", "job_usd", "reads", "writes", "read_bytes", "written_bytes", "prices",
];

/** A row per job and kind of machine, as `cellfleet jobs costs -o` writes them; then the stages that occur. */
export function asCsv(bills: readonly Bill[]): string {
  const stages = [...new Set(bills.flatMap(({ lines }) => lines.flatMap((line) => Object.keys(line.stage_seconds))))].sort();
  const heads = [...COLUMNS, ...stages.flatMap((stage) => [`${stage}_seconds`, `${stage}_usd`])];
  const rows = bills.flatMap((bill) => (bill.lines.length > 0 ? bill.lines : [undefined]).map((line) => rowOf(bill, line, stages)));
  return [heads, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

type Cell = string | number | boolean | null | undefined;

function rowOf(bill: Bill, line: Bill["lines"][number] | undefined, stages: string[]): Cell[] {
  const { machine } = line ?? {};
  const threads = Object.values(line?.stage_seconds ?? {}).reduce((sum, seconds) => sum + seconds, 0);
  return [
    bill.job, bill.name, bill.owner, new Date(bill.submitted_ms).toISOString(), bill.final, bill.images, bill.pixels, machine?.name,
    machine?.region, machine?.spot, line?.seconds, line?.gpu_seconds, line?.usd_per_hour, line?.usd, bill.requests_usd, bill.usd,
    bill.reads, bill.writes, bill.read_bytes, bill.written_bytes, bill.prices,
    ...stages.flatMap((stage): Cell[] => {
      const seconds = line?.stage_seconds[stage];
      if (seconds === undefined) return [null, null];
      return [seconds, line?.usd == null ? null : (line.usd * seconds) / threads];
    }),
  ];
}

/** A text that begins like a formula is one for spreadsheets: a quote before it makes it a text again. */
function cell(value: Cell): string {
  if (typeof value !== "string") return String(value ?? "");
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
