/** Channels of the image: shown or not, colour, contrast. */
import { ActionIcon, Button, ColorSwatch, Group, Popover, RangeSlider, Stack, Switch, Text, Title, Tooltip } from "@mantine/core";
import { IconCheck } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { percentiles } from "../../viewer/histogram";
import type { Rgb } from "../../viewer/paint";
import { MOST_CHANNELS } from "../../viewer/pixels";
import type { ChannelLook } from "../../viewer/Viewer";
import { readTile, type Multiscale, type Selection } from "../../viewer/zarr";
import { shown } from "./columns";
import css from "./Panel.module.css";
import { colourOfHex } from "./url";
import type { ViewState } from "./useView";
import { channelWords as words } from "./words";

const COLOURS: Record<keyof typeof words.colours, Rgb> = {
  white: colourOfHex("ffffff"), cyan: colourOfHex("00ffff"), magenta: colourOfHex("ff00ff"),
  yellow: colourOfHex("ffff00"), green: colourOfHex("00ff00"), red: colourOfHex("ff4040"), blue: colourOfHex("4080ff"),
};
const AUTO = [1, 99.8];
/** Means of squares are darker than their brightest pixel. */
const HEADROOM = 1.25;

interface Values {
  auto: [number, number];
  low: number;
  high: number;
}

/** Values of the coarsest level, which is one tile. */
const useValues = (key: string, pixels: Multiscale, channel: number, selection: Selection) =>
  useQuery({
    queryKey: ["values", key, channel, selection.t, selection.z],
    queryFn: async (): Promise<Values> => {
      const coarsest = pixels.levels.at(-1) as Multiscale["levels"][number];
      const { data } = await readTile(coarsest, pixels.axes, { ...selection, c: channel }, { x: 0, y: 0 });
      const [low = 0, from = 0, to = 1, high = 1] = percentiles(data, [0, ...AUTO, 100]);
      return { auto: [from, Math.max(to, from + 1e-9)], low, high };
    },
    staleTime: Infinity,
  });

export function ChannelsPanel({ id, pixels, view, used }: { id: string; pixels: Multiscale; view: ViewState; used: number[] }) {
  const { channels, setChannels, first, selection } = view;
  const change = (at: number, part: Partial<ChannelLook>) =>
    setChannels((before) => before.map((channel, place) => (place === at ? { ...channel, ...part } : channel)));
  const full = channels.filter(({ visible }) => visible).length >= MOST_CHANNELS;
  return (
    <section>
      <Title order={3} size="h5" mb="xs">
        {words.title}
      </Title>
      <Stack gap="md">
        {channels.map((channel, at) => (
          <ChannelRow
            key={at}
            id={id}
            name={pixels.channels[at]?.label ?? `Channel ${at + 1}`}
            channel={channel}
            opened={first[at]?.window ?? channel.window}
            seen={used.includes(at + 1)}
            locked={full && !channel.visible}
            pixels={pixels}
            place={at}
            selection={selection}
            change={(part) => change(at, part)}
          />
        ))}
      </Stack>
    </section>
  );
}

interface RowProperties {
  id: string;
  name: string;
  channel: ChannelLook;
  opened: [number, number];
  seen: boolean;
  locked: boolean;
  pixels: Multiscale;
  place: number;
  selection: Selection;
  change: (part: Partial<ChannelLook>) => void;
}

function ChannelRow({ id, name, channel, opened, seen, locked, pixels, place, selection, change }: RowProperties) {
  const { data: values } = useValues(id, pixels, place, selection);
  const [low, high] = channel.window;
  const least = Math.min(values?.low ?? low, low, opened[0]);
  const most = Math.max((values?.high ?? high) * HEADROOM, high, opened[1]);
  const whole = pixels.levels[0]?.dtype.startsWith("float") === false;
  const step = whole ? 1 : (most - least) / 1000 || 1;
  return (
    <div>
      <Group gap="xs" wrap="nowrap">
        <Colours name={name} colour={channel.colour} choose={(colour) => change({ colour })} />
        <Text size="sm" fw={500} truncate title={name} className={css.grow}>
          {name}
        </Text>
        <Text size="xs" c="dimmed" className={css.fixed}>
          {shown(low)} – {shown(high)}
        </Text>
        <Switch
          size="sm"
          checked={channel.visible}
          disabled={locked}
          onChange={(event) => change({ visible: event.currentTarget.checked })}
          aria-label={words.show(name)}
        />
      </Group>
      <RangeSlider
        mt={6}
        size="sm"
        min={whole ? Math.floor(least) : least}
        max={whole ? Math.ceil(most) : most}
        step={step}
        minRange={step}
        value={channel.window}
        onChange={(window) => change({ window })}
        label={null}
        disabled={!channel.visible}
        thumbFromLabel={words.darkest(name)}
        thumbToLabel={words.brightest(name)}
      />
      <Group gap={4} mt={4}>
        <Tooltip label={words.autoHint}>
          <Button size="compact-xs" variant="subtle" disabled={!values} onClick={() => values && change({ window: values.auto })}>
            {words.auto}
          </Button>
        </Tooltip>
        <Tooltip label={seen ? words.resetHint : words.openedHint}>
          <Button size="compact-xs" variant="subtle" onClick={() => change({ window: opened })}>
            {seen ? words.reset : words.opened}
          </Button>
        </Tooltip>
      </Group>
    </div>
  );
}

const asCss = (colour: Rgb) => `rgb(${colour.join(" ")})`;

function Colours({ name, colour, choose }: { name: string; colour: Rgb; choose: (colour: Rgb) => void }) {
  const [open, setOpen] = useState(false);
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-start" shadow="md" trapFocus returnFocus>
      <Popover.Target>
        <ActionIcon variant="transparent" size={24} onClick={() => setOpen(!open)} aria-label={words.colour(name)}>
          <ColorSwatch color={asCss(colour)} size={20} radius="sm" />
        </ActionIcon>
      </Popover.Target>
      <Popover.Dropdown p="xs">
        <Group gap={6}>
          {(Object.keys(COLOURS) as (keyof typeof COLOURS)[]).map((key) => (
            <ActionIcon
              key={key}
              variant="transparent"
              size={28}
              title={words.colours[key]}
              aria-label={words.colours[key]}
              aria-pressed={asCss(COLOURS[key]) === asCss(colour)}
              onClick={() => {
                choose(COLOURS[key]);
                setOpen(false);
              }}
            >
              <ColorSwatch color={asCss(COLOURS[key])} size={24} radius="sm">
                {asCss(COLOURS[key]) === asCss(colour) && <IconCheck size={14} color="black" aria-hidden />}
              </ColorSwatch>
            </ActionIcon>
          ))}
        </Group>
      </Popover.Dropdown>
    </Popover>
  );
}
