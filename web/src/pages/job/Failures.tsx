/** The images that failed: why, and what can be done. */
import { Paper, ScrollArea, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { answer, api, type Job } from "../../api/client";
import { sentence } from "../../parts/Refused";
import { words } from "./words";

const MOST = 200;

export function Failures({ job }: { job: Job }) {
  const { data } = useQuery({
    queryKey: ["failures", job.id, job.progress.images_failed],
    queryFn: () =>
      answer(
        api.GET("/api/v1/jobs/{job}/images", {
          params: { path: { job: job.id }, query: { status: "failed", limit: MOST } },
        }),
      ),
  });
  const failed = data?.images ?? [];
  if (failed.length === 0) return null;
  const { image, why, what, code } = words.failedColumns;
  return (
    <Paper withBorder p="lg">
      <Title order={3} size="h4" mb="sm">
        {words.failed}
      </Title>
      <ScrollArea.Autosize mah={320}>
        <Table verticalSpacing="xs" stickyHeader>
          <Table.Thead>
            <Table.Tr>
              {[image, why, what, code].map((name) => (
                <Table.Th key={name}>{name}</Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {failed.map(({ number, image: name, record }) => (
              <Table.Tr key={number}>
                <Table.Td maw={260}>
                  <Text size="sm" truncate title={name}>
                    {name}
                  </Text>
                </Table.Td>
                <Table.Td>{sentence(record?.error?.what ?? "")}</Table.Td>
                <Table.Td>{record?.error?.action}</Table.Td>
                <Table.Td>{record?.error?.code}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </ScrollArea.Autosize>
    </Paper>
  );
}
