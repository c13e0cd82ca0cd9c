/** What a job that classifies says of its images, as rows of tables. */
import type { Schemas } from "../../api/client";
import { CsvReader } from "../../viewer/csv";

export interface ClassCount {
  name: string;
  /** Planes that have it as their best class. */
  planes: number;
}

/** Of class_counts.csv, the most frequent first. */
export function readCounts(csv: string): ClassCount[] {
  const rows: string[][] = [];
  const reader = new CsvReader((row) => rows.push(row));
  reader.push(csv);
  reader.end();
  return rows.slice(1).map(([name = "", planes]) => ({ name, planes: Number(planes) }));
}

/** What is asked of an image of a job. */
interface Shown {
  number: number;
  image: string;
  record?: { classes: readonly Schemas["PlaneClasses"][] } | null;
}

export interface ClassRow {
  key: string;
  image: string;
  best: string;
  score: string;
  next: string;
}

const short = (score: number) => String(Number(score.toPrecision(3)));

/** One row for each plane of an image. */
export function rowsOf({ number, image, record }: Shown): ClassRow[] {
  return (record?.classes ?? []).map(({ t, z, top }, plane) => {
    const at = [typeof t === "number" && `t=${t}`, typeof z === "number" && `z=${z}`].filter(Boolean).join(" ");
    const [best, ...others] = top;
    return {
      key: `${number} ${plane}`,
      image: at ? `${image} ${at}` : image,
      best: best?.name ?? "",
      score: best ? short(best.score) : "",
      next: others.slice(0, 2).map(({ name, score }) => `${name} ${short(score)}`).join(", "),
    };
  });
}
