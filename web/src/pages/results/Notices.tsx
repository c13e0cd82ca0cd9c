/** What stands in the way of results, over the canvas: nothing found, not there yet, failed, not in this format. */
import { Alert, Anchor, Button, Code, CopyButton, Group, List, Stack, Text } from "@mantine/core";
import { Link } from "react-router";

import { sentence } from "../../parts/Refused";
import type { Image, TableState } from "./useOpened";
import { emptyWords, stateWords } from "./words";

interface Properties {
  job: string;
  image: Image;
  table: TableState;
}

export function Notices({ job, image, table }: Properties) {
  const { status, record } = image;
  if (status === "waiting") {
    return (
      <Alert color="blue" title={stateWords.waiting}>
        {stateWords.waitingText}
      </Alert>
    );
  }
  if (status === "failed") {
    const error = record?.error;
    return (
      <Alert color="red" title={stateWords.failed}>
        {error && `${sentence(error.what)}. ${error.action ?? ""}`} {error && <Text span size="xs" c="dimmed">[{error.code}]</Text>}
      </Alert>
    );
  }
  if (record?.objects === 0) return <Nothing job={job} image={image} />;
  if (!record?.outputs?.["ome-zarr"]) return <NoLabels table={table} />;
  return null;
}

function Nothing({ job, image: { record } }: { job: string; image: Image }) {
  const used = Object.values(record?.channels_used ?? {}).flat();
  const names = used.map((number) => record?.channel_names?.[number - 1] || `channel ${number}`).join(", ");
  return (
    <Alert color="yellow" title={emptyWords.title}>
      <Stack gap="xs">
        <Text size="sm">{emptyWords.reasons}:</Text>
        <List size="sm" spacing={4}>
          <List.Item>{emptyWords.size(record?.microns_per_pixel ?? undefined)}</List.Item>
          <List.Item>{emptyWords.channel(names)}</List.Item>
          <List.Item>{emptyWords.contrast}</List.Item>
        </List>
        <Anchor component={Link} to={`/?again=${job}`} size="sm" fw={600}>
          {emptyWords.again}
        </Anchor>
      </Stack>
    </Alert>
  );
}

function NoLabels({ table }: { table: TableState }) {
  return (
    <Alert color="yellow" title={stateWords.noLabels}>
      <Stack gap="xs">
        <Text size="sm">{stateWords.noLabelsText}</Text>
        <Command text={stateWords.export} />
        {table === "none" && (
          <>
            <Text size="sm">{stateWords.noCsv}</Text>
            <Command text={stateWords.exportCsv} />
          </>
        )}
      </Stack>
    </Alert>
  );
}

function Command({ text }: { text: string }) {
  return (
    <Group gap="xs" wrap="nowrap">
      <Code flex={1}>{text}</Code>
      <CopyButton value={text}>
        {({ copied, copy }) => (
          <Button size="compact-xs" variant="default" onClick={copy}>
            {copied ? stateWords.copied : stateWords.copy}
          </Button>
        )}
      </CopyButton>
    </Group>
  );
}
