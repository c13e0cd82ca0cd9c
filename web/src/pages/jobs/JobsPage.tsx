/** All jobs, newest first; any number of them. */
import { Button, Group, SegmentedControl, Skeleton, Stack, Text, TextInput, Title } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { answer, api, type Job } from "../../api/client";
import { about } from "../../api/queries";
import { hasEnded } from "../../api/useJob";
import { Refused } from "../../parts/Refused";
import { JobTable } from "./JobTable";
import { words } from "./words";

const PAGE = 200;
type Kind = "all" | "active" | "ended";

export function JobsPage() {
  const [text, setText] = useState("");
  const [kind, setKind] = useState<Kind>("all");
  const { data: who } = useQuery(about);
  const list = useInfiniteQuery({
    queryKey: ["jobs"],
    queryFn: ({ pageParam }) =>
      answer(api.GET("/api/v1/jobs", { params: { query: { limit: PAGE, after: pageParam || undefined } } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.after ?? undefined,
    refetchInterval: ({ state }) => (state.data?.pages[0]?.jobs.some((job) => !hasEnded(job)) ? 3_000 : 15_000),
  });
  const jobs = list.data?.pages.flatMap((page) => page.jobs) ?? [];
  const shown = jobs.filter((job) => fits(job, kind, text));
  return (
    <Stack maw={1180} mx="auto">
      <Group justify="space-between">
        <Title order={2}>{words.title}</Title>
        <Group>
          <SegmentedControl
            aria-label={words.states}
            value={kind}
            onChange={(value) => setKind(value as Kind)}
            data={[
              { value: "all", label: words.all },
              { value: "active", label: words.active },
              { value: "ended", label: words.ended },
            ]}
          />
          <TextInput
            aria-label={words.filter}
            placeholder={words.filter}
            leftSection={<IconSearch size={16} />}
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
          />
        </Group>
      </Group>
      {list.error && <Refused error={list.error} again={() => void list.refetch()} />}
      {list.isPending && <Loading />}
      {list.data && jobs.length === 0 && <Nothing />}
      {jobs.length > 0 && shown.length === 0 && <NoMatch more={list.hasNextPage} />}
      {jobs.length > 0 && (
        <JobTable
          jobs={shown}
          owners={who?.role === "admin" && who.login}
          atEnd={() => {
            if (list.hasNextPage && !list.isFetchingNextPage) void list.fetchNextPage();
          }}
        />
      )}
    </Stack>
  );
}

function fits(job: Job, kind: Kind, text: string): boolean {
  if (kind !== "all" && hasEnded(job) !== (kind === "ended")) return false;
  return `${job.name} ${job.id} ${job.owner} ${job.model.name}`.toLowerCase().includes(text.trim().toLowerCase());
}

function NoMatch({ more }: { more: boolean }) {
  return <Text c="dimmed">{more ? words.noMatchYet : words.noMatch}</Text>;
}

function Loading() {
  return (
    <Stack gap="xs" aria-label={words.loading} role="status">
      {[...Array(6).keys()].map((row) => (
        <Skeleton key={row} height={44} />
      ))}
    </Stack>
  );
}

function Nothing() {
  return (
    <Stack align="center" gap="xs" py={80}>
      <Title order={3}>{words.none}</Title>
      <Text c="dimmed">{words.noneLead}</Text>
      <Button component={Link} to="/" mt="md">
        {words.begin}
      </Button>
    </Stack>
  );
}
