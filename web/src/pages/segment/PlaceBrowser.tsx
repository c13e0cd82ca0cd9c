/** Looks through folders and buckets that the service can reach, and takes one of them, or some of their images. */
import { ActionIcon, Button, Checkbox, Group, Loader, Skeleton, Stack, Text, TextInput, UnstyledButton } from "@mantine/core";
import { IconArrowUp, IconBucket, IconChevronRight, IconClock, IconFileZip, IconFolder, IconHome, IconPhoto } from "@tabler/icons-react";
import { useInfiniteQuery, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import type { Schemas } from "../../api/client";
import { pixels } from "../../format";
import { Refused } from "../../parts/Refused";
import { drafts } from "../../uploads/useDraft";
import { counted, lately, listed, used, type PlaceEntry } from "./places";
import css from "./PlaceBrowser.module.css";
import { words } from "./words";

export function PlaceBrowser({ done }: { done: () => void }) {
  const [place, setPlace] = useState("");
  const [typed, setTyped] = useState("");
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const found = useInfiniteQuery(listed(place));
  const first = found.data?.pages[0];
  function go(to: string) {
    setPlace(to);
    setTyped(to);
  }
  function submit(event: FormEvent) {
    event.preventDefault();
    // In React the form is inside the drop zone's tree.
    event.stopPropagation();
    go(typed.trim());
  }
  function add(places: Iterable<string>) {
    for (const one of places) drafts.addAddress(one);
    used(place);
    done();
  }
  function toggle(one: string) {
    const now = new Set(chosen);
    if (!now.delete(one)) now.add(one);
    setChosen(now);
  }
  return (
    <Stack gap="md">
      <form onSubmit={submit}>
        <Group align="end" gap="sm" wrap="nowrap">
          <TextInput
            flex={1}
            label={words.place.label}
            placeholder={words.place.placeholder}
            value={typed}
            onChange={(event) => setTyped(event.currentTarget.value)}
            data-autofocus
          />
          <Button type="submit" variant="default" disabled={typed.trim() === place}>
            {words.place.open}
          </Button>
        </Group>
      </form>
      <div className={css.box}>
        <Where place={place} above={first?.above} go={go} />
        <div className={css.list} aria-busy={found.isFetching}>
          {found.error ? (
            <div className={css.inner}>
              <Refused error={found.error} again={() => void found.refetch()} />
            </div>
          ) : found.isPending ? (
            <Loading />
          ) : (
            <Entries
              entries={found.data.pages.flatMap(({ entries }) => entries)}
              atBeginning={place === ""}
              single={first !== undefined && first.kind !== "folder"}
              chosen={chosen}
              toggle={toggle}
              go={go}
            />
          )}
          {found.hasNextPage && (
            <Button variant="subtle" size="compact-sm" m="sm" loading={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
              {words.place.more}
            </Button>
          )}
        </div>
      </div>
      {found.data?.pages.some(({ entries }) => entries.some(({ kind }) => kind === "archive")) && (
        <Text size="xs" c="dimmed">
          {words.place.archives}
        </Text>
      )}
      <Foot place={place} kind={first?.kind} chosen={chosen} add={add} cancel={done} />
    </Stack>
  );
}

function Where({ place, above, go }: { place: string; above?: string | null; go: (to: string) => void }) {
  return (
    <Group gap={4} wrap="nowrap" className={css.where}>
      <ActionIcon variant="subtle" color="gray" aria-label={words.place.home} title={words.place.home} disabled={place === ""} onClick={() => go("")}>
        <IconHome size={16} />
      </ActionIcon>
      <ActionIcon variant="subtle" color="gray" aria-label={words.place.up} title={words.place.up} disabled={!above} onClick={() => above && go(above)}>
        <IconArrowUp size={16} />
      </ActionIcon>
      <Text size="sm" fw={500} truncate="start" title={place} px={4}>
        <bdi>{place || words.place.beginning}</bdi>
      </Text>
    </Group>
  );
}

function Loading() {
  return (
    <Stack gap="sm" p="md" aria-label={words.place.loading}>
      {[60, 45, 70, 50].map((width) => (
        <Skeleton key={width} height={16} width={`${width}%`} />
      ))}
    </Stack>
  );
}

interface EntriesProperties {
  entries: PlaceEntry[];
  atBeginning: boolean;
  /** Whether the place is a file, or a pattern. */
  single: boolean;
  chosen: ReadonlySet<string>;
  toggle: (place: string) => void;
  go: (to: string) => void;
}

function Entries({ entries, atBeginning, single, chosen, toggle, go }: EntriesProperties) {
  const before = atBeginning ? lately().filter((one) => entries.every(({ place }) => place !== one)) : [];
  if (entries.length + before.length === 0) {
    const text = atBeginning ? words.place.nowhere : single ? words.place.single : words.place.empty;
    return (
      <Text size="sm" c="dimmed" ta="center" px="xl" py={72}>
        {text}
      </Text>
    );
  }
  return (
    <ul className={css.entries}>
      {entries.map((entry) => (
        <li key={entry.place}>
          {entry.kind === "folder" ? (
            <Folder place={entry.place} name={entry.name} go={go} />
          ) : (
            <Checkbox
              className={css.file}
              checked={chosen.has(entry.place)}
              onChange={() => toggle(entry.place)}
              label={
                <span className={css.label}>
                  {entry.kind === "archive" ? <IconFileZip size={16} aria-hidden /> : <IconPhoto size={16} aria-hidden />}
                  <span className={css.name} title={entry.name}>
                    <bdi>{entry.name}</bdi>
                  </span>
                  <Text span size="xs" c="dimmed">
                    {entry.size === null ? "" : words.bytes(entry.size)}
                  </Text>
                </span>
              }
            />
          )}
        </li>
      ))}
      {before.map((place) => (
        <li key={place}>
          <Folder place={place} name={place} go={go} lately />
        </li>
      ))}
    </ul>
  );
}

function Folder({ place, name, go, lately: before }: { place: string; name: string; go: (to: string) => void; lately?: boolean }) {
  const Icon = before ? IconClock : name.includes("://") ? IconBucket : IconFolder;
  return (
    <UnstyledButton className={css.folder} onClick={() => go(place)}>
      <Icon size={16} aria-hidden color="var(--mantine-primary-color-filled)" />
      <span className={css.name} title={name}>
        <bdi>{name}</bdi>
      </span>
      {before && (
        <Text span size="xs" c="dimmed">
          {words.place.lately}
        </Text>
      )}
      <IconChevronRight size={14} aria-hidden />
    </UnstyledButton>
  );
}

interface FootProperties {
  place: string;
  /** Undefined: it is not known yet, or cannot be looked through. */
  kind?: PlaceEntry["kind"];
  chosen: ReadonlySet<string>;
  add: (places: Iterable<string>) => void;
  cancel: () => void;
}

/** How much is in the place, and what is taken. */
function Foot({ place, kind, chosen, add, cancel }: FootProperties) {
  const known = place !== "" && kind !== undefined;
  const count = useQuery({ ...counted(place), enabled: known });
  const nothing = !known || count.error !== null || count.data?.images === 0;
  return (
    <>
      {count.error && <Refused error={count.error} />}
      <Group justify="space-between" wrap="nowrap">
        <Group gap="xs" role="status" wrap="nowrap">
          {known && <Told count={count} />}
        </Group>
        <Group gap="sm" wrap="nowrap">
          <Button variant="default" onClick={cancel}>
            {words.place.cancel}
          </Button>
          {chosen.size > 0 ? (
            <Button onClick={() => add(chosen)}>{words.place.addChosen(chosen.size)}</Button>
          ) : (
            <Button disabled={nothing} onClick={() => add([place])}>
              {known && kind !== "folder" ? words.place.add : words.place.addFolder}
            </Button>
          )}
        </Group>
      </Group>
    </>
  );
}

function Told({ count: { data, isPending } }: { count: UseQueryResult<Schemas["PlaceCount"]> }) {
  if (data) return <Text size="sm">{words.place.found(data.images, data.more, data.pixels === null ? undefined : pixels(data.pixels))}</Text>;
  if (!isPending) return null;
  return (
    <>
      <Loader size={14} />
      <Text size="sm" c="dimmed">
        {words.place.counting}
      </Text>
    </>
  );
}
