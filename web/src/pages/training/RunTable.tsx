/** All runs, newest first. */
import { Anchor, Button, Paper, Progress, Skeleton, Stack, Table, Text, Title } from "@mantine/core";
import { Link } from "react-router";

import { ago } from "../../format";
import type { Run } from "./queries";
import { RunBadge } from "./RunBadge";
import css from "./Training.module.css";
import { words } from "./words";

/** `runs` are undefined while they are asked for. */
export function RunTable({ runs, more }: { runs?: readonly Run[]; more?: () => void }) {
  return (
    <Paper withBorder component="section" p="md" aria-label={words.list.title}>
      <Stack gap="sm">
        <Title order={3} size="h5">
          {words.list.title}
        </Title>
        {!runs && <Skeleton height={120} />}
        {runs?.length === 0 && <Text c="dimmed">{words.list.none}</Text>}
        {runs && runs.length > 0 && <Rows runs={runs} />}
        {more && (
          <Button variant="default" onClick={more} w="fit-content">
            {words.list.more}
          </Button>
        )}
      </Stack>
    </Paper>
  );
}

function Rows({ runs }: { runs: readonly Run[] }) {
  return (
    <div className={css.wide}>
      <Table verticalSpacing="sm">
        <Table.Thead>
          <Table.Tr>
            {Object.values(words.list.columns).map((name) => (
              <Table.Th key={name}>{name}</Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {runs.map((run) => (
            <Table.Tr key={run.id}>
              <Table.Td className={css.name}>
                <Anchor component={Link} to={`/training/${run.id}`} truncate display="block" title={run.request.name}>
                  {run.request.name}
                </Anchor>
              </Table.Td>
              <Table.Td>
                <RunBadge run={run} />
              </Table.Td>
              <Table.Td miw={90}>
                <Progress value={100 * run.share} size="sm" aria-label={`${Math.round(100 * run.share)} %`} />
              </Table.Td>
              <Table.Td>{f1Of(run)?.toFixed(3) ?? "–"}</Table.Td>
              <Table.Td>
                <Text size="sm" style={{ whiteSpace: "nowrap" }}>
                  {ago(run.created_ms)}
                </Text>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

/** Of the finished model; until then, of the last look. */
const f1Of = ({ scores, latest }: Run): number | null | undefined => Object.values(scores)[0]?.f1 ?? latest?.scores.f1;
