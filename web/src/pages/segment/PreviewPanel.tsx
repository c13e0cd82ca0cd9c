/** What the model finds in a region, before the job is made. */
import { Alert, Button, Group, Loader, Paper, Select, Skeleton, Stack, Switch, Text, Title } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import type { UseQueryResult } from "@tanstack/react-query";
import { useState, type CSSProperties } from "react";

import type { Model } from "../../api/models";
import { Refused } from "../../parts/Refused";
import { Compare } from "./Compare";
import { asksForChannel } from "./facts";
import type { Inspected, Preview, Region } from "./looks";
import { Outlined } from "./Outlined";
import css from "./Preview.module.css";
import { SIDE_PX, Square } from "./Square";
import { words } from "./words";

export interface Shown {
  input: string;
  look: Inspected;
  region: Region;
}

interface Properties {
  shown?: Shown;
  /** Whether an image is being looked at, so that there will be something to show. */
  soon: boolean;
  found: UseQueryResult<Preview>;
  models: Model[];
  micronsPerPixel?: number;
  moved: (region: Region) => void;
  chooseImage: (name: string) => void;
}

export function PreviewPanel({ shown, soon, found, models, micronsPerPixel, moved, chooseImage }: Properties) {
  const [outlines, setOutlines] = useState(true);
  const [comparing, { open: compare, close }] = useDisclosure(false);
  const good = found.error ? undefined : found.data;
  return (
    <Paper withBorder component="section" p="md" aria-label={words.preview.title}>
      <Stack gap="sm">
        <Group justify="space-between" wrap="nowrap">
          <Heading look={shown?.look} />
          {good && <Switch size="xs" label={words.preview.outlines} checked={outlines} onChange={(event) => setOutlines(event.currentTarget.checked)} />}
        </Group>
        {shown ? (
          <>
            <Images look={shown.look} choose={chooseImage} />
            <div className={css.map} data-failed={found.error !== null || undefined} style={found.error ? undefined : ({ "--ratio": shown.region.width / shown.region.height } as CSSProperties)}>
              <Found found={found} outlines={outlines} />
              {isLarger(shown.look) && <Square thumbnail={shown.look.thumbnail} {...sizeOf(shown.look)} region={shown.region} moved={moved} />}
            </div>
            <Below good={good} micronsPerPixel={micronsPerPixel} compare={models.length > 1 ? compare : undefined} />
          </>
        ) : (
          <Nothing soon={soon} />
        )}
      </Stack>
      {shown && comparing && <Compare close={close} shown={shown} models={models} micronsPerPixel={micronsPerPixel} />}
    </Paper>
  );
}

interface BelowProperties {
  good?: Preview;
  micronsPerPixel?: number;
  compare?: () => void;
}

/** How many objects are in the region; or why there may be none. */
function Below({ good, micronsPerPixel, compare }: BelowProperties) {
  return (
    <>
      <Group justify="space-between" wrap="nowrap" align="start" mih={38}>
        <div aria-live="polite">{good && <Told preview={good} micronsPerPixel={micronsPerPixel} />}</div>
        {compare && (
          <Button variant="default" size="xs" px="sm" flex="none" onClick={compare}>
            {words.preview.compare}
          </Button>
        )}
      </Group>
      {good?.objects === 0 && <Alert color="yellow">{words.preview.reasons}</Alert>}
    </>
  );
}

function Heading({ look }: { look?: Inspected }) {
  return (
    <Title order={3} size="h5" className={css.title}>
      {words.preview.title}{" "}
      {look && look.images.length < 2 && (
        <Text span c="dimmed" size="sm" fw={400} title={look.image}>
          <bdi>{look.image}</bdi>
        </Text>
      )}
    </Title>
  );
}

/** The picture, or why there is none. */
export function Found({ found, outlines }: { found: UseQueryResult<Preview>; outlines: boolean }) {
  const { data, error, isFetching, refetch } = found;
  if (asksForChannel(error)) return <Alert color="yellow">{words.preview.channel}</Alert>;
  if (error) return <Refused error={error} again={isFetching ? undefined : () => void refetch()} />;
  return (
    <div className={css.wrap} aria-busy={isFetching}>
      {isFetching && (
        <div className={css.working}>
          <Loader size="sm" color="white" /> <Text size="sm">{words.preview.working}</Text>
        </div>
      )}
      {data ? <Outlined preview={data} outlines={outlines} /> : <Skeleton className={css.empty} animate={false} />}
    </div>
  );
}

export function sizeOf({ axes, shape }: Inspected): { width: number; height: number } {
  return { width: shape[axes.indexOf("X")] ?? 1, height: shape[axes.indexOf("Y")] ?? 1 };
}

function isLarger(look: Inspected): boolean {
  const { width, height } = sizeOf(look);
  return width > SIDE_PX || height > SIDE_PX;
}

export function Told({ preview, micronsPerPixel }: { preview: Preview; micronsPerPixel?: number }) {
  const { objects, median_diameter_px: median } = preview;
  const size = micronsPerPixel ? `${((median ?? 0) * micronsPerPixel).toPrecision(3)} µm` : `${(median ?? 0).toPrecision(3)} px`;
  return (
    <>
      <Text fw={600} size="sm">
        {objects > 0 ? words.preview.found(objects) : words.preview.nothing}
      </Text>
      {median !== null && (
        <Text size="xs" c="dimmed">
          {words.preview.median(size)}
        </Text>
      )}
    </>
  );
}

function Images({ look, choose }: { look: Inspected; choose: (name: string) => void }) {
  if (look.images.length < 2) return null;
  return (
    <Select
      size="xs"
      searchable
      allowDeselect={false}
      aria-label={words.preview.image}
      data={[...look.images]}
      value={look.image}
      onChange={(name) => name && choose(name)}
    />
  );
}

function Nothing({ soon }: { soon: boolean }) {
  if (soon) return <Skeleton className={css.empty} />;
  return (
    <div className={css.placeholder}>
      <Text size="sm" c="dimmed">
        {words.preview.none}
      </Text>
    </div>
  );
}
