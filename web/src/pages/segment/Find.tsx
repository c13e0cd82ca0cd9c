/** What to find: the model, the channels that it looks at, and rarely more. */
import {
  Badge, Checkbox, Collapse, Group, MultiSelect, NumberInput, Paper, Radio, SegmentedControl, Skeleton, Stack, Text, TextInput, Title, UnstyledButton,
} from "@mantine/core";
import { IconChevronDown } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { models, offered, type Model } from "../../api/models";
import { Refused } from "../../parts/Refused";
import css from "./SegmentPage.module.css";
import { change, findsBoth, OFFERED, offeredBy, useSettings, type Compartment } from "./settings";
import { words } from "./words";

/** One version of each model that finds objects; those first that can use the image's channels: the default, then trained ones. */
export function sortedByFit(all: readonly Model[], channels: number, asked?: string): Model[] {
  // Workflows want stacks of their own kind: nobody is to get one unasked.
  const second = ({ size_bytes, task }: Model) => size_bytes === 0 || task === "workflow";
  const misfit = (model: Model) =>
    Number(channels > 0 && model.roles.length > channels) * 4 + Number(!model.default) * 2 + Number(second(model));
  return offered(all, asked).sort((a, b) => misfit(a) - misfit(b) || b.roles.length - a.roles.length || a.name.localeCompare(b.name));
}

interface Properties {
  list: Model[];
  model?: Model;
  channelNames: readonly string[];
  /** Whether the service does not know which channel is meant. */
  asked: boolean;
}

export function Find({ list, model, channelNames, asked }: Properties) {
  const { error, refetch, isPending } = useQuery(models);
  return (
    <Paper withBorder component="section" p="md" aria-label={words.find.title}>
      <Stack gap="md">
        <Title order={3} size="h5">
          {words.find.title}
        </Title>
        {error && <Refused error={error} again={() => void refetch()} />}
        {isPending && <Skeleton height={120} aria-label={words.loading.models} />}
        <Radio.Group aria-label={words.find.title} value={model?.name ?? ""} onChange={(name) => change({ model: name })}>
          <div className={css.cards}>
            {list.map((one, at) => (
              <ModelCard key={one.name} model={one} best={at === 0 && list.length > 1} />
            ))}
          </div>
        </Radio.Group>
        {model && <Channels model={model} names={channelNames} asked={asked} />}
        {model && findsBoth(model) && <Compartments />}
        <Advanced model={model} />
      </Stack>
    </Paper>
  );
}

function ModelCard({ model, best }: { model: Model; best: boolean }) {
  const pixel = model.microns_per_pixel ? words.find.pixel(model.microns_per_pixel) : words.find.anyPixel;
  return (
    <Radio.Card value={model.name} className={css.card} aria-label={`${model.name} ${model.version}: ${model.description}`}>
      <Stack gap={6}>
        <Group gap="xs" wrap="nowrap">
          <Radio.Indicator size="xs" />
          <Text fw={600} size="sm" truncate title={model.name}>
            {model.name}
          </Text>
          <Text size="xs" c="dimmed">
            {model.version}
          </Text>
          {best && (
            <Badge size="sm" variant="light" tt="none" ml="auto" flex="none">
              {words.find.fits}
            </Badge>
          )}
        </Group>
        <Text size="sm">{model.description}</Text>
        <Text size="xs" c="dimmed">
          {[words.find.roles(model.roles), pixel, model.licence].filter(Boolean).join(" · ")}
        </Text>
      </Stack>
    </Radio.Card>
  );
}

/** A select per role, where there is anything to choose. */
function Channels({ model, names, asked }: { model: Model; names: readonly string[]; asked: boolean }) {
  const { channels } = useSettings();
  if (names.length < 2) return null;
  const value = valueOf(names);
  // What was said about an image with other channels stays to be seen.
  const said = Object.values(channels).flat().map(String);
  const known = names.map((name, at) => ({ value: String(value(at)), label: `${at + 1} · ${name || words.find.unnamed}` }));
  const data = [...known, ...said.filter((one) => !known.some((option) => option.value === one)).map((one) => ({ value: one, label: one }))];
  return (
    <Group gap="md" align="start" grow>
      {model.roles.map((role) => (
        <MultiSelect
          key={role}
          label={words.find.channel(role)}
          description={words.find.summed}
          placeholder={channels[role]?.length ? undefined : asked ? words.find.choose : words.find.byName}
          error={asked && !channels[role]?.length ? words.questions.channel : undefined}
          data={data}
          value={(channels[role] ?? []).map(String)}
          onChange={(chosen) => change({ channels: { ...channels, [role]: chosen.map((one) => (/^\d+$/.test(one) ? Number(one) : one)) } })}
          clearable
        />
      ))}
    </Group>
  );
}

/** Names hold for images with other orders of channels, too; numbers stand in where names do not tell. */
export function valueOf(names: readonly string[]): (at: number) => string | number {
  const telling = (name: string) => name !== "" && !/^(ch|channel)?[\s_-]?\d+$/i.test(name) && names.filter((one) => one === name).length === 1;
  const all = names.every((name, at) => telling(name) || /^ch(annel)?[\s_-]?\d+$/i.test(name) || names.indexOf(name) === at);
  return (at) => (all && telling(names[at] as string) ? (names[at] as string) : at + 1);
}

/** What is outlined, of a model that finds cells and their nuclei. */
function Compartments() {
  const { compartment } = useSettings();
  const { label, both, alone } = words.find.outlined;
  return (
    <Stack gap={4} align="start">
      <Text size="sm" fw={600} id="compartments">
        {label}
      </Text>
      <SegmentedControl
        aria-labelledby="compartments"
        data={[{ value: "", label: both }, ...Object.entries(alone).map(([value, text]) => ({ value, label: text }))]}
        value={compartment ?? ""}
        onChange={(value) => change({ compartment: (value as Compartment) || undefined })}
      />
    </Stack>
  );
}

function Advanced({ model }: { model?: Model }) {
  const settings = useSettings();
  const [opened, setOpened] = useState(false);
  return (
    <div>
      <UnstyledButton onClick={() => setOpened(!opened)} aria-expanded={opened} aria-controls="more-settings">
        <Group gap={6}>
          <IconChevronDown size={16} style={{ transform: opened ? "none" : "rotate(-90deg)" }} aria-hidden />
          <Text size="sm" fw={500}>
            {words.find.advanced}
          </Text>
        </Group>
      </UnstyledButton>
      <Collapse expanded={opened} id="more-settings">
        <Stack gap="md" pt="md">
          <Group grow align="start">
            <NumberInput
              label={words.find.diameter}
              description={words.find.diameterHint}
              min={0}
              hideControls
              value={settings.diameter ?? ""}
              onChange={(value) => change({ diameter: typeof value === "number" && value > 0 ? value : undefined })}
            />
            <TextInput
              label={words.find.axes}
              description={words.find.axesHint}
              value={settings.axes ?? ""}
              onChange={(event) => change({ axes: event.currentTarget.value.toUpperCase().replace(/[^TCZYXS]/g, "") || undefined })}
            />
          </Group>
          <Checkbox.Group
            label={words.find.results}
            description={words.find.always}
            value={settings.formats}
            onChange={(formats) => change({ formats: OFFERED.filter((one) => formats.includes(one)) })}
          >
            <div className={css.cards} style={{ marginTop: "var(--mantine-spacing-xs)" }}>
              {offeredBy(model).map((format) => (
                <Checkbox key={format} value={format} label={words.formats[format][0]} description={words.formats[format][1]} />
              ))}
            </div>
          </Checkbox.Group>
        </Stack>
      </Collapse>
    </div>
  );
}
