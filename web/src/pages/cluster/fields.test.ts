/** The form and the file say the same, and nothing that is refused is offered. */
import { describe, expect, test } from "vitest";

import { fieldsOf, FIRST, mostGpus, NO_GPU, offered, type Offer, toFile } from "./fields";

const CLUSTER = {
  format_version: 1 as const,
  name: "lab",
  where: "gke" as const,
  project: "lab-1",
  region: "us-west1",
  zones: ["us-west1-a", "us-west1-b"],
  context: null,
  bucket: "gs://lab-cells",
  secret: "keys",
  gpu: { type: "t4" as const, machine: "n1-highmem-4", spot: true, min: 0, max: 4 },
  cpu: { machine: null, spot: false, min: 0, max: 2 },
  mode: "fused" as const,
  autoscaling: "work" as const,
  models: [],
  budget_per_month: 50,
  retention_days: null,
  address: null,
  image: { repository: "ghcr.io/lab/cellfleet", tag: "1.0" },
};
const OFFER: Offer = {
  type: "t4",
  machine: "n1-standard-8",
  usd_per_hour_spot: 0.319,
  usd_per_hour_on_demand: 0.73,
  granted: { spot: 3, on_demand: 0 },
};

describe("the form", () => {
  test("that is not touched leads to the same file, with what it does not show", () => {
    expect(toFile(fieldsOf(CLUSTER), CLUSTER)).toEqual(CLUSTER);
  });

  test("says how long results are kept, and nothing where they stay", () => {
    const kept = { ...CLUSTER, retention_days: 90 };
    expect(fieldsOf(kept).retention).toBe(90);
    expect(toFile({ ...fieldsOf(kept), retention: 30 }, kept).retention_days).toBe(30);
    expect(toFile({ ...fieldsOf(kept), retention: "" }, kept).retention_days).toBeNull();
  });

  test("forgets the kind of machine when another GPU is chosen", () => {
    expect(toFile({ ...fieldsOf(CLUSTER), gpu: "l4" }, CLUSTER).gpu).toEqual({ type: "l4", spot: true, min: 0, max: 4 });
    expect(toFile({ ...fieldsOf(CLUSTER), gpu: NO_GPU }, CLUSTER).gpu).toBeNull();
  });

  test("says nothing of a place that the provider does not have", () => {
    const there = toFile({ ...FIRST, where: "kubeconfig", context: " admin@lab " }, null);
    expect([there.project, there.region, there.zones, there.context]).toEqual([null, null, [], "admin@lab"]);
  });

  test("keeps the paper's policy for split mode", () => {
    expect(toFile({ ...FIRST, autoscaling: "paper" }, null).autoscaling).toBe("work");
    expect(toFile({ ...FIRST, autoscaling: "paper", mode: "split" }, null).autoscaling).toBe("paper");
  });
});

describe("a GPU", () => {
  test("is offered with its price and what is granted", () => {
    expect(offered(OFFER, true)).toEqual({ value: "t4", label: "T4 · $0.32 an hour · 3 granted", disabled: false });
  });

  test("of which none is granted cannot be chosen", () => {
    expect(offered(OFFER, false)).toMatchObject({ label: "T4 · $0.73 an hour · not granted", disabled: true });
  });

  test("of which nobody knows price or grant can be", () => {
    const rare = { ...OFFER, usd_per_hour_spot: null, granted: { spot: null, on_demand: null } };
    expect(offered(rare, true)).toEqual({ value: "t4", label: "T4 · no price here", disabled: false });
  });

  test("bounds how many may be asked for", () => {
    expect(mostGpus([OFFER], { ...FIRST, spot: true })).toBe(3);
    expect(mostGpus([OFFER], { ...FIRST, gpu: "l4" })).toBeUndefined();
  });
});
