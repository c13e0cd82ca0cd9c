/** The form's fields ↔ the fields of the file, and how a GPU is offered. Pure. */
import type { Schemas } from "../../api/client";
import { words } from "./words";

export type Offer = Schemas["GpuOffer"];

/** What the form shows; "" for what is not said. */
export interface Fields {
  name: string;
  where: string;
  project: string;
  region: string;
  zones: string;
  context: string;
  bucket: string;
  gpu: string;
  spot: boolean;
  min: number | "";
  max: number | "";
  cpuMax: number | "";
  mode: string;
  autoscaling: string;
  budget: number | "";
  retention: number | "";
  address: string;
}

export const NO_GPU = "none";
export const FIRST: Fields = {
  name: "cellfleet",
  where: "gke",
  project: "",
  region: "us-west1",
  zones: "us-west1-b",
  context: "",
  bucket: "gs://",
  gpu: "t4",
  spot: true,
  min: 0,
  max: 4,
  cpuMax: 0,
  mode: "fused",
  autoscaling: "work",
  budget: "",
  retention: "",
  address: "",
};

/** As the service tells it: every field is there. */
type Cluster = Required<Schemas["ClusterSpec"]>;

/** What the file says, for the form. */
export function fieldsOf(told: Schemas["ClusterSpec"]): Fields {
  const cluster = told as Cluster;
  return {
    ...pick(cluster),
    zones: cluster.zones.join(", "),
    ...machinesOf(cluster),
    budget: cluster.budget_per_month ?? "",
    retention: cluster.retention_days ?? "",
  };
}

function pick({ name, where, project, region, context, bucket, mode, autoscaling, address }: Cluster) {
  const text = (value: string | null) => value ?? "";
  return { name, where, bucket, mode, autoscaling, project: text(project), region: text(region), context: text(context), address: text(address) };
}

function machinesOf({ gpu, cpu }: Cluster) {
  const { spot, min, max } = (gpu ?? { ...cpu, min: 0, max: FIRST.max }) as { spot: boolean; min: number; max: number };
  return { gpu: gpu?.type ?? NO_GPU, spot, min, max, cpuMax: cpu.max ?? 0 };
}

/** What the form says, for the file. What it does not show (kinds of machines, image, secret) stays as it was. */
export function toFile(fields: Fields, before: Schemas["ClusterSpec"] | null): Record<string, unknown> {
  return {
    ...before,
    name: fields.name.trim(),
    ...placeOf(fields),
    bucket: fields.bucket.trim(),
    gpu: gpuOf(fields, before),
    cpu: cpuOf(fields, before),
    mode: fields.mode,
    autoscaling: fields.mode === "split" ? fields.autoscaling : "work",
    budget_per_month: fields.budget || null,
    retention_days: fields.retention || null,
    address: said(fields.address),
  };
}

function placeOf({ where, project, region, zones, context }: Fields) {
  const none = { where, project: null, region: null, zones: [], context: null };
  if (where === "kubeconfig") return { ...none, context: said(context) };
  const listed = zones.split(",").map((zone) => zone.trim());
  return { ...none, project: where === "eks" ? null : said(project), region: said(region), zones: listed.filter(Boolean) };
}

function gpuOf({ where, gpu, spot, min, max }: Fields, before: Schemas["ClusterSpec"] | null) {
  if (gpu === NO_GPU) return null;
  const same = before?.gpu?.type === gpu && before.where === where;
  return { ...(same ? before.gpu : {}), type: gpu, spot, min: min || 0, max: max || 0 };
}

/** One switch says spot for both kinds of machines where there was nothing before; then for those with GPU, if there are. */
function cpuOf({ where, gpu, spot, cpuMax }: Fields, before: Schemas["ClusterSpec"] | null) {
  const cpu = before?.where === where ? before.cpu : {};
  return { spot, ...cpu, ...(gpu === NO_GPU ? { spot } : {}), max: cpuMax || 0 };
}

const said = (text: string) => text.trim() || null;

/** How a GPU stands in the list, and whether it can be chosen. */
export function offered({ type, granted, usd_per_hour_spot, usd_per_hour_on_demand }: Offer, spot: boolean) {
  const price = spot ? usd_per_hour_spot : usd_per_hour_on_demand;
  const most = spot ? granted.spot : granted.on_demand;
  const money = price === null ? words.form.noPrice : `$${price.toFixed(2)} ${words.now.anHour}`;
  const grant = most === null || most === undefined ? "" : most === 0 ? ` · ${words.notGranted}` : ` · ${most} ${words.grants}`;
  return { value: type, label: `${type.toUpperCase()} · ${money}${grant}`, disabled: most === 0 };
}

/** The most GPUs that may be asked for; undefined: nobody knows a bound. */
export function mostGpus(offers: readonly Offer[], { gpu, spot }: Fields): number | undefined {
  const granted = offers.find(({ type }) => type === gpu)?.granted;
  return (spot ? granted?.spot : granted?.on_demand) ?? undefined;
}

export const dollars = (usd: number) => `$${usd.toFixed(2)}`;
