/** Objects of the image: the pinned one, one by its number, and the histogram of a column. */
import { Alert, Button, Group, NumberInput, Select, Stack, Text, Title } from "@mantine/core";
import { useMemo, useState, useSyncExternalStore } from "react";

import { count } from "../../format";
import type { Table } from "../../viewer/csv";
import { histogram } from "../../viewer/histogram";
import { colourOfValue } from "../../viewer/paint";
import { describe, titled } from "./columns";
import { Histogram } from "./Histogram";
import { spanOf, within } from "./look";
import { PinnedCard } from "./ObjectCard";
import type { TableState } from "./useOpened";
import type { ViewState } from "./useView";
import { objectWords as words } from "./words";

interface Properties {
  view: ViewState;
  table?: Table;
  state: TableState;
  objects: number;
  /** Move to an object and pin it. */
  goTo: (label: number) => void;
}

const NOTES: Partial<Record<TableState, string>> = {
  large: words.onlyNumber, none: words.noTable, failed: words.noTable, reading: words.readingTable,
};

export function MeasurePanel({ view, table, state, objects, goTo }: Properties) {
  const note = NOTES[state];
  return (
    <Stack gap="lg">
      {note && (
        <Alert color="gray" variant="light" p="xs">
          <Text size="sm">{note}</Text>
        </Alert>
      )}
      {table && <GoTo table={table} objects={objects} goTo={goTo} />}
      {view.pinned > 0 ? (
        <PinnedCard
          table={table}
          label={view.pinned}
          show={table && (() => goTo(view.pinned))}
          unpin={() => view.setPinned(0)}
        />
      ) : (
        <Text size="sm" c="dimmed">
          {words.hover}
        </Text>
      )}
      {table && view.column && table.rows > 0 && <Measurements view={view} table={table} column={view.column} />}
    </Stack>
  );
}

function GoTo({ table, objects, goTo }: { table: Table; objects: number; goTo: (label: number) => void }) {
  const [label, setLabel] = useState<number | string>("");
  const [unknown, setUnknown] = useState(0);
  const go = (event: React.FormEvent) => {
    event.preventDefault();
    const wanted = Number(label);
    const known = table.rowOf.has(wanted);
    setUnknown(known ? 0 : wanted);
    if (known) goTo(wanted);
  };
  return (
    <form onSubmit={go}>
      <Group gap="xs" align="end" wrap="nowrap">
        <NumberInput
          label={words.goto}
          placeholder={`1 – ${count(objects)}`}
          size="sm"
          min={1}
          hideControls
          allowDecimal={false}
          value={label}
          onChange={setLabel}
          error={unknown ? words.noObject(unknown) : undefined}
          flex={1}
        />
        <Button type="submit" size="sm" variant="default" disabled={label === ""}>
          {words.gotoButton}
        </Button>
      </Group>
    </form>
  );
}

function Measurements({ view, table, column }: { view: ViewState; table: Table; column: string }) {
  const { columns, range, setRange, setStyle, style, pointer, pinned } = view;
  const values = table.columns.get(column) ?? EMPTY;
  const counts = useMemo(() => histogram(values), [values]);
  const span = useMemo(() => spanOf(values), [values]);
  const inside = useMemo(() => (range ? values.reduce((sum, value) => sum + Number(within(value, range)), 0) : 0), [values, range]);
  const hovered = useSyncExternalStore(pointer.listen, pointer.label);
  const marked = table.rowOf.get(hovered || pinned);
  const { name, unit } = describe(column);
  return (
    <section>
      <Title order={3} size="h5" mb="xs">
        {words.measure}
      </Title>
      <Select
        size="sm"
        mb="sm"
        aria-label={words.column}
        allowDeselect={false}
        data={columns.map((one) => ({ value: one.key, label: titled(one) }))}
        value={column}
        onChange={(next) => {
          setRange(undefined);
          setStyle({ column: next ?? undefined });
        }}
      />
      {counts && (
        <Histogram
          counts={counts}
          name={name}
          unit={unit}
          range={range}
          onRange={setRange}
          value={marked === undefined ? undefined : values[marked]}
          colour={style.colourBy === column ? (value) => `rgb(${colourOfValue(value, ...span).join(" ")})` : undefined}
        />
      )}
      <Group justify="space-between" mt="xs" mih={24} wrap="nowrap">
        <Text size="xs" c="dimmed" aria-live="polite">
          {range ? words.inRange(inside, table.rows) : words.brushHint}
        </Text>
        {range && (
          <Button size="compact-xs" variant="subtle" flex="none" onClick={() => setRange(undefined)}>
            {words.clear}
          </Button>
        )}
      </Group>
    </section>
  );
}

const EMPTY = new Float64Array();
