/** One training run: how far it is, its curves, and how its model compares. The address is for ever. */
import { Alert, Anchor, Group, Paper, Progress, Skeleton, Stack, Text, Title } from "@mantine/core";
import { IconArrowLeft } from "@tabler/icons-react";
import { Link, useParams } from "react-router";

import { ago, clock, count, duration } from "../../format";
import { Facts } from "../../parts/Facts";
import { Refused, sentence } from "../../parts/Refused";
import { Actions } from "./Actions";
import { ComparisonPanel } from "./ComparisonPanel";
import { Curves } from "./Curves";
import type { Run } from "./queries";
import { RunBadge } from "./RunBadge";
import { useRun } from "./useRun";
import { words } from "./words";

export function RunPage() {
  const { run: id = "" } = useParams();
  const { run, points, error, lostAt } = useRun(id);
  if (!run) {
    return (
      <Stack maw={1180} mx="auto" gap="xs">
        <Back />
        <Title order={2}>{words.unnamed}</Title>
        {error ? <Refused error={error} /> : <Skeleton height={180} />}
      </Stack>
    );
  }
  return (
    <Stack maw={1180} mx="auto" gap="lg">
      <div>
        <Back />
        <Group justify="space-between" align="start" mt={4}>
          <Group gap="sm" miw={0}>
            <Title order={2} lineClamp={2} title={run.request.name}>
              {run.request.name}
            </Title>
            <RunBadge run={run} />
          </Group>
          <Actions run={run} />
        </Group>
        <Text size="sm" c="dimmed">
          {run.id}
        </Text>
      </div>
      {lostAt && <Alert color="yellow">{words.lost(clock(lostAt))}</Alert>}
      {run.problem && (
        <Alert color="red" role="alert" title={sentence(run.problem.what, run.problem.where)}>
          {run.problem.action} [{run.problem.code}]
        </Alert>
      )}
      <Progressing run={run} />
      <Curves points={points} />
      {run.state === "done" && <ComparisonPanel run={run} />}
    </Stack>
  );
}

function Back() {
  return (
    <Anchor component={Link} to="/training" size="sm" w="fit-content">
      <Group gap={4}>
        <IconArrowLeft size={14} aria-hidden />
        {words.back}
      </Group>
    </Anchor>
  );
}

function Progressing({ run }: { run: Run }) {
  const text = doing(run);
  const left = run.state === "running" && run.phase === "training" ? run.seconds_left : null;
  return (
    <Paper withBorder p="lg">
      <Stack gap="sm">
        <Group justify="space-between">
          <Text fw={600} size="lg" role="status">
            {text}
          </Text>
          <Text c="dimmed">{left !== null && words.left(duration(left))}</Text>
        </Group>
        <Progress size="lg" value={100 * run.share} animated={run.state === "running"} aria-label={text} />
        <RunFacts run={run} />
      </Stack>
    </Paper>
  );
}

export function doing(run: Run): string {
  if (run.state === "running") return run.phase ? words.phases[run.phase] : words.beginning;
  if (run.state === "queued") return words.waiting;
  if (run.state === "stopped") return words.stopped;
  if (run.state === "stopping") return words.stopping;
  if (run.state === "failed") return words.failed;
  return run.published.length > 0 ? words.published(run.published) : words.done;
}

/** Without what is said of it where one is chosen. */
const nameOf = (network: Run["request"]["network"]) => words.new.networks[network].split(" · ")[0] as string;

function RunFacts({ run }: { run: Run }) {
  const { data, latest, request, attempts, created_ms: created } = run;
  const facts = [
    [words.facts.network, nameOf(request.network)],
    [words.facts.data, data ? words.facts.images(data.train_images) : "–"],
    [words.facts.validation, data ? words.facts.images(data.validation_images) : "–"],
    [words.facts.objects, data ? count(data.objects) : "–"],
    [words.facts.steps, latest ? count(latest.step) : "–"],
    attempts > 1 ? [words.facts.attempts, words.facts.times(attempts - 1)] : [words.list.columns.created, ago(created)],
  ] as [string, string][];
  return <Facts facts={facts} />;
}
