/** A job as a command and as Python, for scripts. */
import type { Job } from "../../api/client";

const quoted = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);

/** Sets of uploads are on the server only: whoever repeats the job gives the images again. */
const inputs = (job: Job) => job.inputs.map((given) => (given.startsWith("set:") ? "images/" : given));

export function asCommand(job: Job, server: string): string {
  const { segment, formats } = job;
  const words = ["cellfleet", "segment", ...inputs(job), "-o", "results", "--on", server, "--model", job.model.name];
  for (const { role, channels } of segment.channels ?? []) {
    words.push("--channel", role ? `${role}=${channels.join("+")}` : channels.join("+"));
  }
  if (segment.microns_per_pixel) words.push("--pixel-size", String(segment.microns_per_pixel));
  if (segment.diameter_px) words.push("--diameter", String(segment.diameter_px));
  if (segment.axes) words.push("--axes", segment.axes);
  for (const form of formats) words.push("--format", form);
  return words.map(quoted).join(" ");
}

export function asPython(job: Job, server: string): string {
  const { segment } = job;
  const options = [`model=${JSON.stringify(job.model.name)}`];
  if (segment.microns_per_pixel) options.push(`pixel_size=${segment.microns_per_pixel}`);
  if (segment.diameter_px) options.push(`diameter=${segment.diameter_px}`);
  if (segment.axes) options.push(`axes=${JSON.stringify(segment.axes)}`);
  return [
    "import cellfleet",
    "",
    `with cellfleet.Client(${JSON.stringify(server)}) as lab:`,
    `    job = lab.segment(${JSON.stringify(inputs(job))}, ${options.join(", ")})`,
    "    job.wait()",
    '    job.save("results")',
    "",
  ].join("\n");
}
