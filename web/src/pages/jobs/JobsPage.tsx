/** All jobs, newest first; any number of them. */
import { Button, Group, SegmentedControl, Skeleton, Stack, Text, TextInput, Title } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useCallback, useDeferredValue, useEffect, useMemo, useState } from "react";
import { Link } from "react-router";

import { answer, api, type Job } from "../../api/client";
import { about } from "../../api/queries";
import { hasEnded } from "../../api/useJob";
import { Refused } from "../../parts/Refused";
import { JobTable } from "./JobTable";
import { words } from "./words";

const PAGE = 200;
/** Pages that are asked for again and again; of longer lists only the newest jobs are. */
const FOLLOWED = 3;
const SOON_MS = 3_000;
const LATER_MS = 15_000;
/** The service is asked when typing pauses; what is here already is sieved at once. */
const TYPED_MS = 250;
/** Rows that fill any screen: so many are looked for without being asked for. */
const SCREENFUL = 40;
type Kind = "all" | "active" | "ended";

export function JobsPage() {
  const [text, setText] = useState("");
  const [kind, setKind] = useState<Kind>("all");
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
      <Found kind={kind} text={text} />
    </Stack>
  );
}

function Found({ kind, text }: { kind: Kind; text: string }) {
  const { data: who } = useQuery(about);
  const asked = text.trim();
  const [typed] = useDebouncedValue(asked, TYPED_MS);
  const list = useJobs(kind, asked && typed);
  const wanted = useDeferredValue(asked);
  const shown = useMemo(() => list.jobs.filter((job) => fits(job, kind, wanted)), [list.jobs, kind, wanted]);
  if (list.error) return <Refused error={list.error} again={() => void list.refetch()} />;
  if (list.isPending) return <Loading />;
  if (shown.length > 0) return <JobTable jobs={shown} owners={who?.role === "admin" && who.login} atEnd={list.more} />;
  if (kind === "all" && !asked) return <Nothing />;
  return <NoMatch looking={list.hasNextPage || list.isPlaceholderData || typed !== asked} />;
}

const page = (after: string, kind: Kind, text: string) => {
  const ended = kind === "all" ? undefined : kind === "ended";
  const query = { limit: PAGE, after: after || undefined, ended, text: text || undefined };
  return answer(api.GET("/api/v1/jobs", { params: { query } }));
};

const pause = (jobs?: Job[]) => (jobs?.some((job) => !hasEnded(job)) ? SOON_MS : LATER_MS);

/** All jobs that were looked at so far. The newest are followed; a long list of old ones stays as it was read. */
function useJobs(kind: Kind, text: string) {
  const list = useInfiniteQuery({
    queryKey: ["jobs", kind, text],
    queryFn: ({ pageParam }) => page(pageParam, kind, text),
    initialPageParam: "",
    getNextPageParam: (last) => last.after ?? undefined,
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => {
      const pages = state.data?.pages ?? [];
      return pages.length > FOLLOWED ? false : pause(pages.flatMap(({ jobs }) => jobs));
    },
    staleTime: ({ state }) => ((state.data?.pages.length ?? 0) > FOLLOWED ? Infinity : SOON_MS),
  });
  const long = (list.data?.pages.length ?? 0) > FOLLOWED;
  const newest = useQuery({
    queryKey: ["newest jobs", kind, text],
    queryFn: () => page("", kind, text),
    enabled: long,
    refetchInterval: ({ state }) => pause(state.data?.jobs),
  });
  const [pages, fresh] = [list.data?.pages, long ? newest.data?.jobs : undefined];
  const jobs = useMemo(() => {
    const known = pages?.flatMap(({ jobs: some }) => some) ?? [];
    if (!fresh) return known;
    const ids = new Set(fresh.map(({ id }) => id));
    return [...fresh, ...known.filter(({ id }) => !ids.has(id))];
  }, [pages, fresh]);
  const { hasNextPage, isFetchingNextPage, isPlaceholderData, fetchNextPage } = list;
  const more = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  const few = jobs.length < SCREENFUL && !isPlaceholderData;
  useEffect(() => {
    if (few) more();
  }, [few, more]);
  return { ...list, jobs, more };
}

function fits(job: Job, kind: Kind, text: string): boolean {
  if (kind !== "all" && hasEnded(job) !== (kind === "ended")) return false;
  return `${job.name} ${job.id} ${job.owner} ${job.model.name}`.toLowerCase().includes(text.trim().toLowerCase());
}

function NoMatch({ looking }: { looking: boolean }) {
  return (
    <Text c="dimmed" role="status">
      {looking ? words.noMatchYet : words.noMatch}
    </Text>
  );
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
