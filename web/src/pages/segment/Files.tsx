/** The chosen images, each with what is known of it; only the rows that are seen exist, and only these are looked at. */
import { Alert, Button, Group, Paper, Progress, Stack, Text, Title } from "@mantine/core";
import { IconPlayerPause, IconPlayerPlay, IconTrash } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState, type ReactNode } from "react";

import { duration } from "../../format";
import { endingsOf } from "../../uploads/chosen";
import type { Draft, Item } from "../../uploads/draft";
import { drafts } from "../../uploads/useDraft";
import { secondsLeft, type Facts } from "./facts";
import css from "./Files.module.css";
import { FileRow } from "./FileRow";
import { forgetAnswers } from "./settings";
import { words } from "./words";

const ROW_PX = 52;

interface Properties {
  draft: Draft;
  facts: Facts;
  chosen?: Item;
  choose: (path: string) => void;
  /** What is to be said of all of them. */
  children?: ReactNode;
}

export function Files({ draft, facts, chosen, choose, children }: Properties) {
  const { items } = draft;
  const frame = useRef<HTMLDivElement>(null);
  // The library's object changes with every render; nothing here is memoised over it.
  // eslint-disable-next-line react-hooks/incompatible-library
  const rows = useVirtualizer({ count: items.length, getScrollElement: () => frame.current, estimateSize: () => ROW_PX, overscan: 4 });
  const under = items.some(({ state }) => state === "waiting" || state === "sending");
  return (
    <Paper withBorder component="section" aria-label={words.files.title(facts.images)}>
      <Group justify="space-between" px="md" py="sm" wrap="nowrap">
        <Title order={3} size="h5">
          {words.files.title(facts.images)}
          <Text span c="dimmed" size="sm" fw={400}>
            {summary(facts)}
          </Text>
        </Title>
        <Group gap="xs" wrap="nowrap">
          {(under || draft.paused) && (
            <Button
              variant="default"
              size="compact-sm"
              leftSection={draft.paused ? <IconPlayerPlay size={14} /> : <IconPlayerPause size={14} />}
              onClick={() => (draft.paused ? drafts.goOn() : drafts.pause())}
            >
              {draft.paused ? words.files.goOn : words.files.pause}
            </Button>
          )}
          <Button variant="subtle" color="gray" size="compact-sm" leftSection={<IconTrash size={14} />} onClick={removeAll}>
            {words.files.clear}
          </Button>
        </Group>
      </Group>
      <Sent draft={draft} under={under} />
      <Notices draft={draft} />
      <div ref={frame} className={css.frame} role="table" aria-label={words.files.title(facts.images)} aria-rowcount={items.length + 1}>
        <div className={css.head} role="row">
          {Object.entries(words.files.columns).map(([key, name]) => (
            <span key={key} role="columnheader" className={key === "channels" ? css.channels : undefined}>
              {name}
            </span>
          ))}
        </div>
        <div className={css.body} role="rowgroup" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map(({ index, start }) => {
            const item = items[index];
            return (
              item && (
                <FileRow
                  key={item.path}
                  item={item}
                  draft={draft}
                  chosen={item.path === chosen?.path}
                  choose={choose}
                  top={start}
                  number={index + 2}
                />
              )
            );
          })}
        </div>
      </div>
      {children}
    </Paper>
  );
}

function removeAll() {
  drafts.clear(true);
  forgetAnswers();
}

function summary({ images, ready, asking, unreadable }: Facts): string {
  const parts: string[] = [];
  if (ready > 0 && (ready < images || asking > 0)) parts.push(words.files.ready(ready));
  if (asking > 0) parts.push(words.files.asking(asking));
  if (unreadable > 0) parts.push(words.files.unreadable(unreadable));
  return parts.length > 0 ? ` · ${parts.join(", ")}` : "";
}

/** All uploads together; read out at most every ten seconds. */
function Sent({ draft, under }: { draft: Draft; under: boolean }) {
  const left = secondsLeft(draft);
  const text = under
    ? words.files.sending(`${words.bytes(draft.sent)} / ${words.bytes(draft.size)}`, left === undefined ? "" : ` · ${duration(left)} left`)
    : "";
  const spoken = useSeldom(text, 10_000);
  return (
    <>
      {under && (
        <Group px="md" pb="sm" gap="sm" wrap="nowrap">
          <Progress value={draft.size ? (100 * draft.sent) / draft.size : 0} flex={1} size="sm" aria-label={text} />
          <Text size="xs" c="dimmed">
            {text}
          </Text>
        </Group>
      )}
      <div role="status" aria-live="polite" style={HIDDEN}>
        {spoken}
      </div>
    </>
  );
}

const HIDDEN = { position: "absolute", width: 1, height: 1, overflow: "hidden", clipPath: "inset(50%)" } as const;

/** The value, renewed no more often than this. */
function useSeldom(value: string, ms: number): string {
  const latest = useRef(value);
  const [shown, setShown] = useState(value);
  useEffect(() => {
    latest.current = value;
  }, [value]);
  useEffect(() => {
    const timer = setInterval(() => setShown(latest.current), ms);
    return () => clearInterval(timer);
  }, [ms]);
  return shown;
}

function Notices({ draft }: { draft: Draft }) {
  const missing = draft.items.filter(({ state }) => state === "missing").length;
  const refused = draft.items.some(({ state }) => state === "refused");
  if (!missing && !refused && !draft.lost && !draft.paused && draft.others.length === 0) return null;
  return (
    <Stack gap="xs" px="md" pb="sm">
      {missing > 0 && <Alert color="yellow">{words.files.missing(missing)}</Alert>}
      {draft.lost && <Alert color="yellow">{words.files.lost}</Alert>}
      {draft.paused && <Alert color="gray">{words.files.paused}</Alert>}
      {draft.others.length > 0 && (
        <Alert color="gray" withCloseButton closeButtonLabel={words.dismiss} onClose={() => drafts.dismissOthers()}>
          {words.others(draft.others.length, endingsOf([...draft.others]))}
        </Alert>
      )}
      {refused && (
        <Button variant="default" size="compact-sm" onClick={() => drafts.goOn()}>
          {words.files.refused}
        </Button>
      )}
    </Stack>
  );
}
