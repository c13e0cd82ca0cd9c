/** How far a job is, in numbers and as a bar; read out at most every ten seconds. */
import { Group, Paper, Progress, Stack, Text, VisuallyHidden } from "@mantine/core";
import { useEffect, useRef, useState } from "react";

import type { Job } from "../../api/client";
import { hasEnded } from "../../api/useJob";
import { ago, count, duration, pixels } from "../../format";
import { Facts } from "../../parts/Facts";
import { words } from "./words";

const READ_OUT_MS = 10_000;

export function ProgressPanel({ job }: { job: Job }) {
  const { images, images_done: done, images_failed: failed, listed, seconds_left: left } = job.progress;
  const text = `${count(done)} / ${count(images)} ${words.images}`;
  return (
    <Paper withBorder p="lg">
      <Stack gap="sm">
        <Group justify="space-between">
          <Text fw={600} size="lg">
            {listed ? text : words.listing}
          </Text>
          <Text c="dimmed">{left ? `${duration(left)} ${words.left}` : waiting(job)}</Text>
        </Group>
        <Progress.Root size="lg">
          <Progress.Section aria-label={text} value={images ? (100 * done) / images : 0} animated={job.state === "running"} />
          <Progress.Section aria-label={`${count(failed)} failed`} value={images ? (100 * failed) / images : 0} color="red" />
        </Progress.Root>
        <Spoken text={text} />
        <JobFacts job={job} />
      </Stack>
    </Paper>
  );
}

function waiting(job: Job): string {
  return job.state === "queued" && job.progress.listed ? words.starting : "";
}

function JobFacts({ job }: { job: Job }) {
  const { objects, pixels: seen, submitted_ms: begun, started_ms: started, finished_ms: finished } = job.progress;
  const now = useNow();
  const seconds = started ? ((finished ?? now) - started) / 1000 : 0;
  const rate = seconds > 1 ? (60 * job.progress.images_done) / seconds : 0;
  const facts: (readonly [string, string])[] = [
    ...(job.segment.top ? [] : [[words.facts.objects, count(objects)] as const]),
    [words.facts.pixels, seen ? pixels(seen) : "–"],
    [words.facts.rate, rate ? `${count(rate)} ${words.images}` : "–"],
    [words.facts.begun, ago(begun)],
    [words.facts.took, hasEnded(job) && started ? duration(Math.max(1, seconds)) : "–"],
    [words.facts.model, `${job.model.name} ${job.model.version}`],
  ];
  return <Facts facts={facts} />;
}

/** The time, anew every few seconds. */
function useNow(): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 2_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** What a screen reader hears: not every change, or it would never stop. */
function Spoken({ text }: { text: string }) {
  const [spoken, setSpoken] = useState(text);
  const newest = useRef(text);
  useEffect(() => {
    newest.current = text;
  }, [text]);
  useEffect(() => {
    const timer = setInterval(() => setSpoken(newest.current), READ_OUT_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <VisuallyHidden aria-live="polite" role="status">
      {spoken}
    </VisuallyHidden>
  );
}
