/** What a run has learnt so far, as two charts; the same as a table for who does not see them. */
import { Alert, Group, Paper, SimpleGrid, Stack, Table, Text, Title, VisuallyHidden } from "@mantine/core";

import { count } from "../../format";
import { lossLine, scoreLines, ticks, type Line } from "./curves";
import type { Point } from "./queries";
import css from "./Training.module.css";
import { words } from "./words";

const WIDTH = 520;
const HEIGHT = 240;
const LEFT = 40;
const RIGHT = 14;
const TOP = 10;
const BOTTOM = 26;

export function Curves({ points }: { points: readonly Point[] }) {
  const scores = scoreLines(points);
  return (
    <Paper withBorder component="section" p="lg" aria-label={words.curves.title}>
      {points.length === 0 ? (
        <>
          <Title order={3} size="h5">
            {words.curves.title}
          </Title>
          <Text c="dimmed">{words.curves.none}</Text>
        </>
      ) : (
        <Stack gap="md">
          <SimpleGrid cols={{ base: 1, md: 2 }} spacing="xl">
            <Chart title={words.curves.scores} lead={words.curves.scoresLead} lines={scores} highest={1} named />
            <Chart title={words.curves.loss} lead={words.curves.lossLead} lines={[lossLine(points)]} />
          </SimpleGrid>
          {points.at(-1)?.scores.f1 === 0 && <Alert color="gray">{words.curves.nothing}</Alert>}
        </Stack>
      )}
      <VisuallyHidden>
        <Points points={points} names={scores.map(({ name }) => name)} />
      </VisuallyHidden>
    </Paper>
  );
}

interface Properties {
  title: string;
  lead: string;
  lines: readonly Line[];
  /** Of the axis; undefined: as high as the lines need. */
  highest?: number;
  /** With a key under it. */
  named?: boolean;
}

function Chart({ title, lead, lines, highest, named = false }: Properties) {
  const all = lines.flatMap(({ points }) => points);
  const marks = ticks(highest ?? Math.max(0, ...all.map(([, value]) => value)));
  const [last, top] = [Math.max(1, ...all.map(([step]) => step)), marks.at(-1) as number];
  const x = (step: number) => LEFT + (step / last) * (WIDTH - LEFT - RIGHT);
  const y = (value: number) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  return (
    <Stack gap={6}>
      <Title order={3} size="h5">
        {title}
      </Title>
      <Text size="sm" c="dimmed">
        {lead}
      </Text>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} className={css.chart} aria-hidden>
        {marks.map((mark) => (
          <g key={mark}>
            <line className={css.axis} x1={LEFT} x2={WIDTH - RIGHT} y1={y(mark)} y2={y(mark)} />
            <text className={css.label} x={LEFT - 6} y={y(mark) + 4} textAnchor="end">
              {mark}
            </text>
          </g>
        ))}
        <text className={css.label} x={LEFT} y={HEIGHT - 8}>
          0
        </text>
        <text className={css.label} x={WIDTH - RIGHT} y={HEIGHT - 8} textAnchor="end">
          {words.point(last)}
        </text>
        {lines.map(({ name, points }, series) => (
          <Curve key={name} series={series} places={points.map(([step, value]) => [x(step), y(value)])} />
        ))}
      </svg>
      {named && <Key lines={lines} />}
    </Stack>
  );
}

function Curve({ series, places }: { series: number; places: readonly (readonly [number, number])[] }) {
  const end = places.at(-1);
  return (
    <g>
      <polyline className={css.line} data-series={series} points={places.map((place) => place.join(",")).join(" ")} />
      {end && <circle className={css.dot} data-series={series} cx={end[0]} cy={end[1]} r={3.5} />}
    </g>
  );
}

/** The lines by name, with their last value. */
function Key({ lines }: { lines: readonly Line[] }) {
  return (
    <Group gap="lg">
      {lines.map(({ name, points }, series) => (
        <Group key={name} gap={6} wrap="nowrap">
          <svg viewBox="0 0 26 10" className={css.key} aria-hidden>
            <line className={css.line} data-series={series} x1={0} x2={26} y1={5} y2={5} />
          </svg>
          <Text size="sm">
            {words.curves.names[name] ?? name} <b>{points.at(-1)?.[1].toFixed(3) ?? "–"}</b>
          </Text>
        </Group>
      ))}
    </Group>
  );
}

function Points({ points, names }: { points: readonly Point[]; names: readonly string[] }) {
  return (
    <Table>
      <Table.Caption>{words.curves.table}</Table.Caption>
      <Table.Thead>
        <Table.Tr>
          {[words.curves.step, words.curves.loss, ...names.map((name) => words.curves.names[name] ?? name)].map((name) => (
            <Table.Th key={name}>{name}</Table.Th>
          ))}
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {points.map(({ step, loss, scores }) => (
          <Table.Tr key={step}>
            <Table.Td>{count(step)}</Table.Td>
            <Table.Td>{loss ?? "–"}</Table.Td>
            {names.map((name) => (
              <Table.Td key={name}>{scores[name] ?? "–"}</Table.Td>
            ))}
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
