/** The state of a job in a word and a colour. */
import { Badge } from "@mantine/core";

import type { Job } from "../api/client";
import { hasEnded } from "../api/useJob";
import { words } from "../words";

const COLOURS: Record<Job["state"], string> = {
  queued: "gray", running: "sea", paused: "yellow", done: "green", failed: "red", cancelled: "gray",
};

/** A job with some failed images is done for its owner; only one without any result has failed. */
export function stateName(job: Job): { text: string; colour: string } {
  const { images_done: done, images_failed: failed, listed } = job.progress;
  if (job.state === "failed" && done > 0) return { text: words.states.partly, colour: "orange" };
  if (job.state === "queued" && !listed) return { text: words.states.listing, colour: "gray" };
  if (!hasEnded(job) && failed > 0) return { text: words.states[job.state], colour: "orange" };
  return { text: words.states[job.state], colour: COLOURS[job.state] };
}

export function StateBadge({ job }: { job: Job }) {
  const { text, colour } = stateName(job);
  return (
    <Badge color={colour} variant="light" tt="none" fw={600} c="var(--mantine-color-text)">
      {text}
    </Badge>
  );
}
