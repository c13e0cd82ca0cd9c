/** One image of the list: its place, size, pixel size, channels and state, and the questions that it leaves open. */
import { ActionIcon, NumberInput, Progress, Select, Text, Tooltip, UnstyledButton } from "@mantine/core";
import { IconAlertTriangle, IconCheck, IconHelpCircle, IconTrash } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";

import { Refusal } from "../../api/client";
import { count } from "../../format";
import { sentence } from "../../parts/Refused";
import type { Draft, Item } from "../../uploads/draft";
import { drafts } from "../../uploads/useDraft";
import css from "./Files.module.css";
import { isUnclear, readingsOf, type Reading } from "./facts";
import { inspect, type Inspected, type Look } from "./looks";
import { change, useSettings } from "./settings";
import { words } from "./words";

interface Properties {
  item: Item;
  draft: Draft;
  chosen: boolean;
  choose: (path: string) => void;
  top: number;
  number: number;
}

export function FileRow({ item, draft, chosen, choose, top, number }: Properties) {
  const { axes } = useSettings();
  const whole = item.state === "up" && item.input !== undefined;
  const look = useQuery({ ...inspect(item.input ?? "", undefined, axes), enabled: whole });
  const known: Look = { data: look.data, error: look.error ?? undefined };
  return (
    <div role="row" aria-rowindex={number} className={css.row} data-chosen={chosen || undefined} style={{ transform: `translateY(${top}px)` }}>
      <span role="cell" className={css.cell}>
        <UnstyledButton
          className={css.name}
          title={item.path}
          aria-label={words.files.show(item.path)}
          aria-pressed={chosen}
          disabled={!look.data}
          onClick={() => choose(item.path)}
        >
          <bdi>{shortName(item)}</bdi>
        </UnstyledButton>
      </span>
      <span role="cell" className={css.cell}>
        <Shape item={item} look={look.data} />
      </span>
      <span role="cell">
        <PixelSize look={look.data} />
      </span>
      <span role="cell" className={`${css.cell} ${css.channels}`} title={look.data?.channel_names.join(", ")}>
        <Channels look={known} name={item.path} />
      </span>
      <span role="cell" className={css.state}>
        <Status item={item} draft={draft} look={known} reading={whole && look.isPending} />
      </span>
      <span role="cell">
        <ActionIcon variant="subtle" color="gray" size="sm" aria-label={words.files.remove(item.path)} title={words.files.remove(item.path)} onClick={() => drafts.remove([item.path])}>
          <IconTrash size={14} />
        </ActionIcon>
      </span>
    </div>
  );
}

/** A place far away is told by its last part; the whole is in the title. */
export const shortName = ({ path, input }: Item): string =>
  input === path && /^(\/|[a-z][a-z0-9]*:\/\/)/i.test(path) ? (path.replace(/\/+$/, "").split("/").at(-1) as string) : path;

function Shape({ item, look }: { item: Item; look?: Inspected }) {
  if (!look) return <Text span size="sm" c="dimmed">{item.size > 0 ? words.bytes(item.size) : ""}</Text>;
  if (look.images.length > 1) return <>{words.files.several(look.images.length, look.more_images)}</>;
  return <span title={`${look.axes} ${look.shape.join(" × ")}, ${look.dtype}`}>{shapeText(look)}</span>;
}

/** "1 388 × 1 040, 12 z-planes"; width before height, as people say it. */
export function shapeText({ axes, shape }: Pick<Inspected, "axes" | "shape">): string {
  const length = (letter: string) => shape[axes.indexOf(letter)] ?? 1;
  const more = ["T", "Z"].filter((letter) => length(letter) > 1).map((letter) => `, ${count(length(letter))} ${words.axes.names[letter]}`);
  return `${count(length("X"))} × ${count(length("Y"))}${more.join("")}`;
}

function PixelSize({ look }: { look?: Inspected }) {
  const { micronsPerPixel } = useSettings();
  if (!look) return null;
  if (look.microns_per_pixel !== null && micronsPerPixel === undefined) {
    return <>{Number(look.microns_per_pixel.toPrecision(4))} µm</>;
  }
  return (
    <NumberInput
      size="xs"
      hideControls
      min={0}
      decimalScale={6}
      aria-label={words.pixelSize.label}
      placeholder={words.files.notInFile}
      suffix=" µm"
      value={micronsPerPixel ?? ""}
      onChange={(value) => change({ micronsPerPixel: typeof value === "number" && value > 0 ? value : undefined })}
    />
  );
}

/** Channel names; or where nobody knows what the pages are, the question. */
function Channels({ look, name }: { look: Look; name: string }) {
  const { axes } = useSettings();
  const readings = readingsOf(look);
  if (readings.length > 1) return <Pages readings={readings} value={look.data?.axes} name={name} />;
  if (axes && look.data) return <Pages readings={[{ axes, name: axes }]} value={axes} name={name} />;
  const names = look.data?.channel_names ?? [];
  if (names.length <= 1) return <>{names[0] || (look.data && words.files.channels(1))}</>;
  const shown = names.slice(0, 3).map((one, at) => one || String(at + 1));
  return <>{[...shown, ...(names.length > 3 ? [words.files.more(names.length - 3)] : [])].join(", ")}</>;
}

interface PagesProperties {
  readings: Reading[];
  value?: string;
  name: string;
}

/** Asks what the pages of an image are; the answer is for the job. */
export function Pages({ readings, value, name }: PagesProperties) {
  const { axes } = useSettings();
  return (
    <Select
      size="xs"
      aria-label={words.axes.title(name)}
      placeholder={words.axes.label}
      title={words.axes.forAll}
      value={axes ?? value ?? null}
      data={readings.map((reading) => ({ value: reading.axes, label: reading.name }))}
      onChange={(chosen) => change({ axes: chosen ?? undefined })}
      clearable={axes !== undefined}
      allowDeselect={false}
    />
  );
}

function Status({ item, draft, look, reading }: { item: Item; draft: Draft; look: Look; reading: boolean }) {
  if (item.state === "sending") return <Sending item={item} draft={draft} />;
  if (item.state === "waiting") return <Text size="sm" c="dimmed">{draft.paused ? words.states.paused : words.states.waiting}</Text>;
  if (item.state === "missing") return <Told colour="yellow" text={words.states.missing} />;
  if (item.state === "refused" && item.problem) return <Told colour="red" text={words.states.refused} why={textOf(item.problem)} />;
  if (look.error) return <Failed error={look.error} />;
  if (reading) return <Text size="sm" c="dimmed">{words.states.reading}…</Text>;
  if (!look.data) return <Text size="sm" c="dimmed">{words.states.up}</Text>;
  return (
    <>
      <IconCheck size={16} aria-hidden color="var(--mantine-color-green-text)" />
      <Text size="sm">{words.states.ready}</Text>
    </>
  );
}

function Failed({ error }: { error: Error }) {
  const why = error instanceof Refusal ? textOf(error.problem) : error.message;
  if (isUnclear(error)) return <Told colour="yellow" text={words.states.asking} why={why} />;
  return <Told colour="red" text={words.states.unreadable} why={why} />;
}

const textOf = (problem: { what: string; where?: string; action?: string; code: string }) =>
  `${sentence(problem.what, problem.where)}. ${problem.action ?? ""} [${problem.code}]`;

function Sending({ item, draft }: { item: Item; draft: Draft }) {
  const running = draft.items.filter(({ state }) => state === "sending").length;
  const left = draft.rate === undefined ? undefined : (item.size - item.sent) / (draft.rate / running);
  const percent = item.size ? Math.floor((100 * item.sent) / item.size) : 0;
  return (
    <div style={{ width: "100%" }}>
      <Progress value={percent} size={6} aria-hidden />
      <Text size="xs" c="dimmed" mt={2}>
        {words.states.sending(percent, left)}
      </Text>
    </div>
  );
}

function Told({ colour, text, why }: { colour: "red" | "yellow"; text: string; why?: string }) {
  const Icon = colour === "red" ? IconAlertTriangle : IconHelpCircle;
  const told = (
    <UnstyledButton className={css.state} aria-label={why ? `${text}: ${why}` : text}>
      <Icon size={16} aria-hidden color={`var(--mantine-color-${colour === "red" ? "red" : "orange"}-text)`} />
      <Text size="sm" truncate>
        {text}
      </Text>
    </UnstyledButton>
  );
  return why ? (
    <Tooltip label={why} multiline w={360} withArrow events={{ hover: true, focus: true, touch: true }}>
      {told}
    </Tooltip>
  ) : (
    told
  );
}
