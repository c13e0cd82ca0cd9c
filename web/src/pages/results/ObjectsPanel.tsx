/** How objects are shown: outlines, fill, colours with their legend. */
import { Group, Select, Slider, Stack, Switch, Text, Title } from "@mantine/core";
import { useMemo } from "react";

import type { Table } from "../../viewer/csv";
import { colourOfValue } from "../../viewer/paint";
import { describe, shown, titled } from "./columns";
import { spanOf } from "./look";
import css from "./Panel.module.css";
import type { ViewState } from "./useView";
import { objectWords as words } from "./words";

const BY_NUMBER = "number";

export function ObjectsPanel({ view, table }: { view: ViewState; table?: Table }) {
  const { style, setStyle, columns } = view;
  const by = table && style.colourBy && table.columns.has(style.colourBy) ? style.colourBy : undefined;
  return (
    <section>
      <Title order={3} size="h5" mb="xs">
        {words.title}
      </Title>
      <Stack gap="sm">
        <Group justify="space-between">
          <Switch
            label={words.outlines}
            checked={style.outlines}
            onChange={(event) => setStyle({ outlines: event.currentTarget.checked })}
          />
          <Text size="xs" c="dimmed">
            {words.outlinesKey}
          </Text>
        </Group>
        {view.inner && (
          <Switch
            label={words.nuclei}
            checked={style.nuclei}
            onChange={(event) => setStyle({ nuclei: event.currentTarget.checked })}
          />
        )}
        <div>
          <Group justify="space-between">
            <Text size="sm">{words.fill}</Text>
            <Text size="xs" c="dimmed">
              {Math.round(100 * style.fill)} %
            </Text>
          </Group>
          <Slider
            size="sm"
            value={Math.round(100 * style.fill)}
            onChange={(fill) => setStyle({ fill: fill / 100 })}
            label={null}
            thumbLabel={words.opacity}
          />
        </div>
        {columns.length > 0 && (
          <Select
            label={words.colourBy}
            size="sm"
            allowDeselect={false}
            data={[{ value: BY_NUMBER, label: words.byNumber }, ...columns.map((one) => ({ value: one.key, label: titled(one) }))]}
            value={by ?? BY_NUMBER}
            onChange={(value) => setStyle({ colourBy: value === BY_NUMBER ? undefined : (value ?? undefined) })}
          />
        )}
        {by && table && <Legend column={by} values={table.columns.get(by) ?? new Float64Array()} />}
      </Stack>
    </section>
  );
}

const STEPS = 24;

function Legend({ column, values }: { column: string; values: Float64Array }) {
  const [low, high] = useMemo(() => spanOf(values), [values]);
  const missing = useMemo(() => values.some(Number.isNaN), [values]);
  const steps = Array.from({ length: STEPS }, (_, at) => colourOfValue(at, 0, STEPS - 1));
  return (
    <div>
      <svg viewBox={`0 0 ${STEPS} 1`} preserveAspectRatio="none" className={css.legend} aria-hidden>
        {steps.map((colour, at) => (
          <rect key={at} x={at} width={1.05} height={1} fill={`rgb(${colour.join(" ")})`} />
        ))}
      </svg>
      <Group justify="space-between">
        <Text size="xs" c="dimmed">
          ≤ {shown(low)} {describe(column).unit}
        </Text>
        <Text size="xs" c="dimmed">
          ≥ {shown(high)} {describe(column).unit}
        </Text>
      </Group>
      {missing && (
        <Text size="xs" c="dimmed">
          {words.missing}
        </Text>
      )}
    </div>
  );
}
