/** What the job costs, so far or in all: the sum, the machines, and which part of the work it went into. */
import { Anchor, ColorSwatch, Group, Paper, Progress, SimpleGrid, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import type { Job, Schemas } from "../../api/client";
import { bill as billQuery } from "../../api/queries";
import { dollars, duration } from "../../format";
import { Refused } from "../../parts/Refused";
import { type Share, sharesOf } from "./stages";
import { words } from "./words";

type Bill = Schemas["Bill"];
type Line = Schemas["BillLine"];

const w = words.cost;
/** USD; parts of less say nothing. */
const WORTH_DIVIDING = 0.01;

export function CostPanel({ job }: { job: Job }) {
  const { data, error, refetch } = useQuery(billQuery(job.id, job.summarised));
  if (error && !data) return <Refused error={error} again={() => void refetch()} />;
  return (
    <Paper withBorder p="lg" component="section" aria-label={w.title}>
      <Group justify="space-between" mb="sm">
        <Title order={3} size="h4">
          {w.title}
        </Title>
        <Anchor component={Link} to="/cluster" size="sm">
          {w.month}
        </Anchor>
      </Group>
      {data ? <Contents bill={data} /> : <Skeleton height={72} />}
    </Paper>
  );
}

function Contents({ bill }: { bill: Bill }) {
  const shares = sharesOf(bill);
  if (bill.lines.length === 0 && !bill.final) return <Text c="dimmed">{w.nothing}</Text>;
  return (
    <Stack gap="md">
      <Facts bill={bill} />
      {shares.length > 0 && <Stages shares={shares} usd={bill.usd} />}
      {bill.usd === null && <WhatToDo lines={bill.lines} />}
    </Stack>
  );
}

function Facts({ bill }: { bill: Bill }) {
  const gpuSeconds = bill.lines.reduce((sum, line) => sum + line.gpu_seconds, 0);
  const facts: [string, string][] = [
    ...bill.lines.map((line): [string, string] => [nameOf(line), timeOf(line)]),
    ...(gpuSeconds > 0 ? [[w.gpus, took(gpuSeconds)] as [string, string]] : []),
    ...(bill.requests_usd ? [[w.requests, dollars(bill.requests_usd)] as [string, string]] : []),
    ...(bill.usd === null || !bill.prices ? [] : [[w.prices, bill.prices] as [string, string]]),
  ];
  return (
    <SimpleGrid cols={{ base: 1, xs: 2, md: 4 }} spacing="lg">
      <div>
        <Text size="xs" c="dimmed">
          {bill.final ? w.all : w.soFar}
        </Text>
        <Text fw={600} size="xl">
          {bill.usd === null ? w.unknown : dollars(bill.usd ?? 0)}
        </Text>
      </div>
      {facts.map(([name, value], index) => (
        // Two kinds of machines may bear one name: on demand and spot.
        <div key={index}>
          <Text size="xs" c="dimmed" truncate title={name}>
            {name}
          </Text>
          <Text fw={500} truncate title={value}>
            {value}
          </Text>
        </div>
      ))}
    </SimpleGrid>
  );
}

function nameOf({ machine }: Line): string {
  const name = machine.name || w.unnamed;
  return [name, machine.region, machine.spot && "spot"].filter(Boolean).join(", ");
}

function timeOf({ seconds, usd_per_hour: price }: Line): string {
  return price === null ? took(seconds) : `${took(seconds)} · ${dollars(price)} ${w.hourly}`;
}

/** What ran for a moment did not run for no time at all. */
const took = (seconds: number) => (seconds > 0 && seconds < 1 ? "< 1 s" : duration(seconds));

function Stages({ shares, usd }: { shares: Share[]; usd?: number | null }) {
  const shown = shares.reduce((sum, { part }) => sum + part, 0);
  return (
    <div>
      <Text size="xs" c="dimmed" mb={6}>
        {w.stages}
      </Text>
      <Progress.Root size="lg" aria-hidden>
        {shares.map(({ stage, part, colour }) => (
          <Progress.Section key={stage} value={(100 * part) / shown} color={colour} />
        ))}
      </Progress.Root>
      <Group component="ul" gap="lg" mt="xs" p={0} m={0} aria-label={w.stages}>
        {shares.map(({ stage, part, colour }) => (
          <Group component="li" key={stage} gap={6} wrap="nowrap">
            <ColorSwatch size={10} color={`var(--mantine-color-${colour.replace(".", "-")})`} aria-hidden />
            <Text size="sm">
              {stage} {Math.round(100 * part)} %{usd && usd >= WORTH_DIVIDING ? ` · ${dollars(part * usd)}` : ""}
            </Text>
          </Group>
        ))}
      </Group>
    </div>
  );
}

function WhatToDo({ lines }: { lines: readonly Line[] }) {
  const missing = lines.find(({ machine, usd }) => machine.name && usd === null);
  return (
    <Text size="sm" c="dimmed">
      {missing ? w.todoMissing(missing.machine.name) : w.todoUnnamed}
    </Text>
  );
}
