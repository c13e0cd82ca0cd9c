/** Takes labelled images, and says how far they are up. */
import { Alert, Button, Group, Progress, Stack, Text } from "@mantine/core";
import { IconFolder, IconTrash, IconZip } from "@tabler/icons-react";
import { useRef } from "react";
import { useDropzone } from "react-dropzone";

import { bytes } from "../../format";
import { isArchive, pathOf } from "../../uploads/chosen";
import type { Draft, State } from "../../uploads/draft";
import { labelled } from "../../uploads/useDraft";
import { givenOf } from "./dataset";
import css from "./Training.module.css";
import { words } from "./words";

const add = (files: readonly File[]) => labelled.addFiles(files.map((file) => ({ path: pathOf(file), file })));

export function DataDrop({ draft }: { draft: Draft }) {
  const folder = useRef<HTMLInputElement>(null);
  const { getRootProps, getInputProps, isDragActive, open } = useDropzone({ onDrop: (files) => add(files), noClick: true, noKeyboard: true });
  return (
    <section {...getRootProps()} role="region" tabIndex={-1} className={css.zone} data-active={isDragActive || undefined} aria-label={words.data.label}>
      <input {...getInputProps()} aria-label={words.data.zip} />
      <input
        ref={folder}
        type="file"
        hidden
        multiple
        aria-label={words.data.folder}
        {...{ webkitdirectory: "" }}
        onChange={(event) => {
          add([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = "";
        }}
      />
      <Stack gap="sm" p="md" align="center">
        {draft.items.length === 0 ? (
          <>
            <Text fw={600}>{isDragActive ? words.data.active : words.data.title}</Text>
            <Text size="xs" c="dimmed">
              {words.data.lead}
            </Text>
            <Text size="xs" c="dimmed">
              {words.data.corrected}
            </Text>
          </>
        ) : (
          <Chosen draft={draft} />
        )}
        <Group gap="xs" justify="center">
          <Button size="xs" leftSection={<IconFolder size={14} />} variant={draft.items.length ? "default" : "filled"} onClick={() => folder.current?.click()}>
            {words.data.folder}
          </Button>
          <Button size="xs" leftSection={<IconZip size={14} />} variant="default" onClick={open}>
            {words.data.zip}
          </Button>
          {draft.items.length > 0 && (
            <Button size="xs" leftSection={<IconTrash size={14} />} variant="subtle" color="gray" onClick={() => labelled.clear(true)}>
              {words.data.clear}
            </Button>
          )}
        </Group>
      </Stack>
    </section>
  );
}

/** What was given, how far it is up, and what is wrong with it. */
function Chosen({ draft }: { draft: Draft }) {
  const given = givenOf(draft.items.map(({ path }) => path), isArchive);
  return (
    <Stack gap="xs" w="100%">
      <Text fw={600}>{given.archive ? words.data.archive(given.archive) : words.data.count(given.images, given.labels)}</Text>
      <Sent draft={draft} />
      {draft.others.length > 0 && (
        <Text size="xs" c="dimmed">
          {words.data.others(draft.others.length)}
        </Text>
      )}
      <Troubles draft={draft} />
      {!given.archive && given.labels === 0 && <Alert color="yellow">{words.data.noLabels}</Alert>}
    </Stack>
  );
}

const inState = ({ items }: Draft, ...states: State[]) => items.filter(({ state }) => states.includes(state)).length;

function Sent({ draft }: { draft: Draft }) {
  const under = inState(draft, "waiting", "sending") > 0;
  const up = inState(draft, "up") === draft.items.length;
  const text = under ? words.data.sending(bytes(draft.sent), bytes(draft.size)) : up ? words.data.up : "";
  return (
    <>
      {under && <Progress value={draft.size ? (100 * draft.sent) / draft.size : 0} size="sm" aria-label={text} />}
      <Text size="sm" c="dimmed">
        {draft.lost ? words.data.lost : text}
      </Text>
    </>
  );
}

function Troubles({ draft }: { draft: Draft }) {
  const [refused, missing] = [inState(draft, "refused"), inState(draft, "missing")];
  return (
    <>
      {missing > 0 && <Alert color="yellow">{words.data.missing(missing)}</Alert>}
      {refused > 0 && (
        <Alert color="red" title={words.data.refused(refused)}>
          {draft.items.find((item) => item.problem)?.problem?.message}
        </Alert>
      )}
    </>
  );
}
