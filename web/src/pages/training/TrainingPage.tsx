/** Where models are taught: a new run on one side, all runs on the other. */
import { Alert, Stack, Text, Title } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";

import { Refused, sentence } from "../../parts/Refused";
import { NewRun } from "./NewRun";
import { runs } from "./queries";
import { RunTable } from "./RunTable";
import css from "./Training.module.css";
import { words } from "./words";

export function TrainingPage() {
  const list = useInfiniteQuery(runs);
  const refusal = list.data?.pages[0]?.refusal;
  return (
    <Stack maw={1180} mx="auto" gap="lg">
      <div>
        <Title order={2}>{words.title}</Title>
        <Text c="dimmed">{words.lead}</Text>
      </div>
      {refusal && (
        <Alert color="yellow" role="alert" title={<Text span inherit c="var(--mantine-color-text)">{sentence(refusal.what, refusal.where)}</Text>}>
          {refusal.action} [{refusal.code}]
        </Alert>
      )}
      {list.error && <Refused error={list.error} again={() => void list.refetch()} />}
      <div className={css.grid}>
        <RunTable
          runs={list.data?.pages.flatMap((page) => page.runs)}
          more={list.hasNextPage ? () => void list.fetchNextPage() : undefined}
        />
        <NewRun refused={Boolean(refusal)} />
      </div>
    </Stack>
  );
}
