/** The cluster of this service: what goes on, what it costs, and the description that can be changed. */
import { Alert, Card, Code, Skeleton, Stack, Text, Title } from "@mantine/core";
import { queryOptions, useQuery } from "@tanstack/react-query";

import { answer, api } from "../../api/client";
import { about } from "../../api/queries";
import { Refused } from "../../parts/Refused";
import { ChangeForm } from "./ChangeForm";
import { Month } from "./Month";
import { Now } from "./Now";
import { words } from "./words";

const OFTEN_MS = 10_000;

export const cluster = queryOptions({
  queryKey: ["cluster"],
  queryFn: () => answer(api.GET("/api/v1/admin/cluster")),
  refetchInterval: OFTEN_MS,
});

export function ClusterPage() {
  const { data: who } = useQuery(about);
  return (
    <Stack maw={1000} mx="auto" gap="xl">
      <Stack gap={4}>
        <Title order={2}>{words.title}</Title>
        <Text c="dimmed">{words.lead}</Text>
      </Stack>
      {who && <Month />}
      {who?.role === "admin" && <Contents />}
      {who && who.role !== "admin" && <Alert title={words.adminsOnly} />}
    </Stack>
  );
}

function Contents() {
  const { data, error, refetch } = useQuery(cluster);
  if (!data) return error ? <Refused error={error} again={() => void refetch()} /> : <Skeleton h={400} />;
  return (
    <>
      <Now state={data} />
      {data.problem && <Alert color="red" title={data.problem} />}
      {/* Another version means that somebody else has saved: the form begins anew from it. */}
      <ChangeForm key={data.version} state={data} />
      {data.text && (
        <Card withBorder padding="lg">
          <Title order={3} size="h4" mb="sm">
            {words.file}
          </Title>
          <Code block tabIndex={0} aria-label={words.file}>
            {data.text}
          </Code>
        </Card>
      )}
    </>
  );
}
