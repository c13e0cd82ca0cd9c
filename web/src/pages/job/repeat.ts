/** A job as a command and as Python, for scripts. */
import type { Job } from "../../api/client";

const quoted = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);

/** Of a job over uploads, which are on the server only: whoever repeats it gives the images again. */
const HERE = "images/";
const isUpload = (given: string) => given.startsWith("set:");

export const needsImages = (job: Job) => job.inputs.some(isUpload);

const inputs = (job: Job) => [...new Set(job.inputs.map((given) => (isUpload(given) ? HERE : given)))];

export function asCommand(job: Job, server: string): string {
  const { segment, formats } = job;
  const verb = segment.top ? "classify" : "segment";
  const words = ["cellfleet", verb, ...inputs(job), "-o", "results", "--on", server, "--model", segment.model ?? job.model.name];
  if (segment.top) words.push("--top", String(segment.top));
  for (const { role, channels } of segment.channels ?? []) {
    words.push("--channel", role ? `${role}=${channels.join("+")}` : channels.join("+"));
  }
  if (segment.microns_per_pixel) words.push("--pixel-size", String(segment.microns_per_pixel));
  if (segment.diameter_px) words.push("--diameter", String(segment.diameter_px));
  if (segment.axes) words.push("--axes", segment.axes);
  if (segment.compartment) words.push("--compartment", segment.compartment);
  for (const form of formats) words.push("--format", form);
  return words.map(quoted).join(" ");
}

export function asPython(job: Job, server: string): string {
  const { segment, formats } = job;
  const options = [`model=${JSON.stringify(segment.model ?? job.model.name)}`];
  if (segment.channels?.length) options.push(`channels=${pythonChannels(segment.channels)}`);
  if (segment.microns_per_pixel) options.push(`pixel_size=${segment.microns_per_pixel}`);
  if (segment.diameter_px) options.push(`diameter=${segment.diameter_px}`);
  if (segment.axes) options.push(`axes=${JSON.stringify(segment.axes)}`);
  if (segment.compartment) options.push(`compartment=${JSON.stringify(segment.compartment)}`);
  if (segment.top) options.push(`top=${segment.top}`);
  else options.push(`formats=${JSON.stringify(formats)}`);
  return [
    "import cellfleet",
    "",
    `with cellfleet.Client(${JSON.stringify(server)}) as lab:`,
    `    job = lab.${segment.top ? "classify" : "segment"}(${JSON.stringify(inputs(job))}, ${options.join(", ")})`,
    "    job.wait()",
    '    job.save("results")',
    "",
  ].join("\n");
}

type Choice = NonNullable<Job["segment"]["channels"]>[number];

/** Numbers count from 0 in Python. */
function pythonChannels(all: readonly Choice[]): string {
  const list = ({ channels }: Choice) => JSON.stringify(channels.map((one) => (typeof one === "number" ? one - 1 : one)));
  if (all.some(({ role }) => !role)) return `[${all.map(list).join(", ")}]`;
  return `{${all.map((one) => `${JSON.stringify(one.role)}: ${list(one)}`).join(", ")}}`;
}
