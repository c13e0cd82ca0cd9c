import { expect, test } from "vitest";

import { addedUp, asCsv, daysIn, monthName, shifted } from "./month";

test("months go on over the years", () => {
  expect(shifted("2026-01", -1)).toBe("2025-12");
  expect(shifted("2025-12", 1)).toBe("2026-01");
  expect(monthName("2026-02")).toBe("February 2026");
  expect([daysIn("2026-02"), daysIn("2024-02"), daysIn("2026-11")]).toEqual([28, 29, 30]);
});

test("days are added up", () => {
  expect(addedUp([1, 0, 2]).map(({ sum }) => sum)).toEqual([1, 1, 3]);
});

const bill = (more: object = {}) =>
  ({
    job: "j1", name: "plates", owner: "ann", final: true, submitted_ms: 0, images: 2, pixels: 9, usd: 3, requests_usd: 1, prices: "p",
    reads: 1, writes: 2, read_bytes: 3, written_bytes: 4,
    lines: [
      {
        machine: { name: "n1", region: "r", spot: true, gpus: 0 }, seconds: 10, gpu_seconds: 0, usd_per_hour: 2, usd: 2,
        stage_seconds: { predict: 3, write: 1 },
      },
    ],
    ...more,
  }) as never;

const table = (text: string) => {
  const [heads = [], ...rows] = text.trimEnd().split("\r\n").map((row) => row.split(","));
  return rows.map((row) => Object.fromEntries(heads.map((head, index) => [head, row[index]])));
};

test("a row tells machine, sums and what each stage cost", () => {
  const [row] = table(asCsv([bill()]));
  expect(row).toMatchObject({
    job: "j1", submitted: "1970-01-01T00:00:00.000Z", machine: "n1", spot: "true", machine_usd: "2", job_usd: "3", predict_seconds: "3", predict_usd: "1.5", write_usd: "0.5",
  });
});

test("a job that has cost nothing yet has a row too, and no price is an empty cell", () => {
  const line = { machine: { name: "", region: "", spot: false, gpus: 0 }, seconds: 1, gpu_seconds: 0, usd_per_hour: null, usd: null, stage_seconds: { read: 1 } };
  const [without, unpriced] = table(asCsv([bill({ lines: [], usd: 0 }), bill({ lines: [line], usd: null })]));
  expect(without).toMatchObject({ job: "j1", machine: "", job_usd: "0" });
  expect(unpriced).toMatchObject({ machine_usd: "", job_usd: "", read_seconds: "1", read_usd: "" });
});

test("names can neither break the table nor run as formulas", () => {
  expect(asCsv([bill({ name: 'a "b", c' })])).toContain('"a ""b"", c"');
  expect(asCsv([bill({ name: "=HYPERLINK(1)" })])).toContain(",'=HYPERLINK(1),");
});
