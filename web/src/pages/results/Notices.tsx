/** What stands in the way of results, over the canvas: nothing found, not there yet, failed, not in this format. */
import { Alert, Anchor, type AlertProps, Button, Code, CopyButton, Group, List, Loader, Stack, Text } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import { Link } from "react-router";

import { sentence } from "../../parts/Refused";
import type { Image, TableState } from "./useOpened";
import { emptyWords, stateWords } from "./words";

interface Properties {
  job: string;
  image: Image;
  table: TableState;
  hide?: () => void;
}

/** Not in colour alone, and readable on any ground. */
const warning: AlertProps = { variant: "default", icon: <IconAlertTriangle color="var(--mantine-color-orange-6)" aria-hidden /> };

export function Notices({ job, image, table, hide }: Properties) {
  const closing: AlertProps = hide ? { withCloseButton: true, closeButtonLabel: stateWords.hide, onClose: hide } : {};
  const { status, record } = image;
  if (status === "waiting") {
    return (
      <Alert variant="default" icon={<Loader size="xs" />} title={stateWords.waiting} role="status">
        {stateWords.waitingText}
      </Alert>
    );
  }
  if (status === "failed") return <Failed error={record?.error ?? undefined} closing={closing} />;
  if (record?.objects === 0) return <Nothing job={job} image={image} closing={closing} />;
  if (!record?.outputs?.["ome-zarr"]) return <NoLabels table={table} closing={closing} />;
  return null;
}

function Failed({ error, closing }: { error?: NonNullable<NonNullable<Image["record"]>["error"]>; closing: AlertProps }) {
  const icon = <IconAlertTriangle color="var(--mantine-color-red-6)" aria-hidden />;
  return (
    <Alert variant="default" icon={icon} title={stateWords.failed} {...closing}>
      {error && `${sentence(error.what)}. ${error.action ? `${error.action}. ` : ""}`}
      {error && (
        <Text span size="xs" c="dimmed">
          [{error.code}]
        </Text>
      )}
    </Alert>
  );
}

function Nothing({ job, image: { record }, closing }: { job: string; image: Image; closing: AlertProps }) {
  const used = Object.values(record?.channels_used ?? {}).flat();
  const names = used.map((number) => record?.channel_names?.[number - 1] || `channel ${number}`).join(", ");
  return (
    <Alert {...warning} {...closing} title={emptyWords.title}>
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

function NoLabels({ table, closing }: { table: TableState; closing: AlertProps }) {
  return (
    <Alert {...warning} {...closing} title={stateWords.noLabels}>
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
