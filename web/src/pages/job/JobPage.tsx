/** One job: how far it is, what failed, what can be done with it, and its images. The address is for ever. */
import { Anchor, Group, Skeleton, Stack, Text, Title, Alert } from "@mantine/core";
import { IconArrowLeft } from "@tabler/icons-react";
import { Link, useParams } from "react-router";

import { useJob } from "../../api/useJob";
import { clock } from "../../format";
import { BudgetSpent } from "../../parts/Budget";
import { Refused, sentence } from "../../parts/Refused";
import { StateBadge } from "../../parts/StateBadge";
import { Actions } from "./Actions";
import { ClassesPanel } from "./ClassesPanel";
import { CostPanel } from "./CostPanel";
import { Failures } from "./Failures";
import { ImageGrid } from "./ImageGrid";
import { ProgressPanel } from "./ProgressPanel";
import { words } from "./words";

export function JobPage() {
  const { job: id = "" } = useParams();
  const { job, error, lostAt } = useJob(id);
  if (error && !job) return <NotThere error={error} />;
  if (!job) return <Skeleton height={180} maw={1180} mx="auto" />;
  const name = job.name || `${words.unnamed} ${job.id}`;
  return (
    <Stack maw={1180} mx="auto" gap="lg">
      <div>
        <Back />
        <Group justify="space-between" align="start" wrap="nowrap" mt={4}>
          <Group gap="sm" miw={0}>
            <Title order={2} lineClamp={2} title={name}>
              {name}
            </Title>
            <StateBadge job={job} />
          </Group>
          <Actions job={job} />
        </Group>
        <Text size="sm" c="dimmed">
          {job.id}
        </Text>
      </div>
      {lostAt && <Alert color="yellow">{words.lost(clock(lostAt))}</Alert>}
      {job.problem && (
        <Alert color="red" title={sentence(job.problem.what, job.problem.where)}>
          {job.problem.action} [{job.problem.code}]
        </Alert>
      )}
      {job.state === "paused" && <BudgetSpent linked />}
      <ProgressPanel job={job} />
      <CostPanel job={job} />
      {job.progress.images_failed > 0 && <Failures job={job} />}
      {job.segment.top ? <ClassesPanel job={job} /> : <ImageGrid job={job} />}
    </Stack>
  );
}

function Back() {
  return (
    <Anchor component={Link} to="/jobs" size="sm" w="fit-content">
      <Group gap={4}>
        <IconArrowLeft size={14} aria-hidden />
        {words.back}
      </Group>
    </Anchor>
  );
}

function NotThere({ error }: { error: Error }) {
  return (
    <Stack maw={1180} mx="auto" gap="xs">
      <Back />
      <Title order={2} mb="sm">
        {words.unnamed}
      </Title>
      <Refused error={error} />
    </Stack>
  );
}
