/** What the images of a job show: how many of each class, once all have ended, and the images with their classes. */
import { Paper, Progress, ScrollArea, Stack, Table, Text, Title } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";

import { answer, api, type Job } from "../../api/client";
import { hasEnded } from "../../api/useJob";
import { count } from "../../format";
import { type ClassCount, readCounts, rowsOf } from "./classes";
import { words } from "./words";

const MOST = 200;
const RUNNING_MS = 4_000;

export function ClassesPanel({ job }: { job: Job }) {
  return (
    <>
      {job.summarised && <Counts job={job} />}
      <Images job={job} />
    </>
  );
}

function Counts({ job }: { job: Job }) {
  const { data: counts = [] } = useQuery({
    queryKey: ["class counts", job.id, job.progress.images_done],
    queryFn: async () => {
      const params = { path: { job: job.id, path: "class_counts.csv" } };
      return readCounts(await answer<string>(api.GET("/api/v1/jobs/{job}/files/{path}", { params, parseAs: "text" })));
    },
  });
  if (counts.length === 0) return null;
  const all = counts.reduce((sum, { planes }) => sum + planes, 0);
  return (
    <Paper withBorder p="lg" component="section" aria-label={words.classes.title}>
      <Title order={3} size="h4" mb="sm">
        {words.classes.title}
      </Title>
      <ScrollArea.Autosize mah={320}>
        <Stack gap="sm">
          {counts.map((one) => (
            <Bar key={one.name} one={one} all={all} />
          ))}
        </Stack>
      </ScrollArea.Autosize>
    </Paper>
  );
}

function Bar({ one: { name, planes }, all }: { one: ClassCount; all: number }) {
  const share = (100 * planes) / all;
  const text = `${count(planes)} · ${share < 1 ? "< 1" : Math.round(share)} %`;
  return (
    <div>
      <Text size="sm" truncate title={name}>
        {name}{" "}
        <Text span c="dimmed" size="sm">
          {text}
        </Text>
      </Text>
      <Progress value={share} aria-label={`${name}: ${text}`} />
    </div>
  );
}

function Images({ job }: { job: Job }) {
  const { data } = useQuery({
    queryKey: ["classes", job.id, hasEnded(job) ? job.progress.images_done : "running"],
    queryFn: () =>
      answer(api.GET("/api/v1/jobs/{job}/images", { params: { path: { job: job.id }, query: { status: "done", limit: MOST } } })),
    placeholderData: keepPreviousData,
    refetchInterval: hasEnded(job) ? false : RUNNING_MS,
  });
  const images = data?.images ?? [];
  if (images.length === 0) return null;
  const { image, best, score, next } = words.classes.columns;
  return (
    <Paper withBorder p="lg" component="section" aria-label={words.done}>
      <Title order={3} size="h4">
        {words.done}
      </Title>
      <Text size="sm" c="dimmed" mb="sm">
        {job.progress.images_done > images.length ? words.classes.first(count(images.length)) : words.classes.all}
      </Text>
      <ScrollArea.Autosize mah={480}>
        <Table verticalSpacing="xs" stickyHeader>
          <Table.Thead>
            <Table.Tr>
              {[image, best, score, next].map((name) => (
                <Table.Th key={name}>{name}</Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {images.flatMap(rowsOf).map((row) => (
              <Table.Tr key={row.key}>
                <Table.Td maw={320}>
                  <Text size="sm" truncate title={row.image}>
                    {row.image}
                  </Text>
                </Table.Td>
                <Table.Td>{row.best}</Table.Td>
                <Table.Td>{row.score}</Table.Td>
                <Table.Td c="dimmed">{row.next}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </ScrollArea.Autosize>
    </Paper>
  );
}
