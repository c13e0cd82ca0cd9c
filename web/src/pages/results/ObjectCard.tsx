/** One object: its row of the table, whole in the panel and in short beside the pointer. */
import { ActionIcon, Button, Group, Paper, Text } from "@mantine/core";
import { IconFocusCentered, IconPinnedOff } from "@tabler/icons-react";
import { useState, useSyncExternalStore } from "react";

import type { Table } from "../../viewer/csv";
import { describe, shown } from "./columns";
import css from "./Panel.module.css";
import type { Pointer } from "./pointer";
import own from "./Workbench.module.css";
import { objectWords as words } from "./words";

interface Row {
  key: string;
  name: string;
  value: string;
}

/** Return the row of an object as texts; `brief`: what tells most. */
export function rowsOf(table: Table | undefined, label: number, brief = false): Row[] {
  const row = table?.rowOf.get(label);
  if (!table || row === undefined) return [];
  const keys = [...table.columns.keys()].filter((key) => key !== "label" && (!brief || isTelling(key, table)));
  return keys.map((key) => {
    const { name, unit } = describe(key);
    return { key, name, value: `${shown(table.columns.get(key)?.[row] ?? NaN)} ${unit}`.trim() };
  });
}

const TELLING = /^(x|y|area|equivalent_diameter)_(um|um2|px)$|^circularity$|^mean_/;

function isTelling(key: string, table: Table): boolean {
  const stem = key.replace(/_px$/, "");
  const better = key.endsWith("_px") && (table.columns.has(`${stem}_um`) || table.columns.has(`${stem}_um2`));
  return TELLING.test(key) && !better;
}

export function ObjectRows({ rows }: { rows: Row[] }) {
  return (
    <dl className={css.rows}>
      {rows.map(({ key, name, value }) => (
        <div key={key} className={css.pair} data-column={key}>
          <dt title={name}>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function PinnedCard({ table, label, show, unpin }: { table?: Table; label: number; show?: () => void; unpin: () => void }) {
  const [all, setAll] = useState(false);
  return (
    <Paper withBorder p="sm" data-testid="pinned-card">
      <Group justify="space-between" mb={6} wrap="nowrap">
        <Text fw={600}>{words.name(label)}</Text>
        <Group gap={2} wrap="nowrap">
          {show && (
            <ActionIcon variant="subtle" onClick={show} title={words.center} aria-label={words.center}>
              <IconFocusCentered size={17} aria-hidden />
            </ActionIcon>
          )}
          <ActionIcon variant="subtle" onClick={unpin} title={words.unpin} aria-label={words.unpin}>
            <IconPinnedOff size={17} aria-hidden />
          </ActionIcon>
        </Group>
      </Group>
      <ObjectRows rows={rowsOf(table, label, !all)} />
      {table && (
        <Button size="compact-xs" variant="subtle" mt={6} ml={-8} onClick={() => setAll(!all)} aria-expanded={all}>
          {all ? words.fewerColumns : words.allColumns(table.columns.size)}
        </Button>
      )}
    </Paper>
  );
}

const [CARD_WIDTH, CARD_HEIGHT, AWAY] = [240, 190, 18];

/** Follows the pointer, and keeps within the canvas. */
export function HoverCard({ pointer, table, canvas }: { pointer: Pointer; table?: Table; canvas: () => { width: number; height: number } }) {
  const { label, x, y } = useSyncExternalStore(pointer.listen, pointer.hovered);
  if (!label) return null;
  const { width, height } = canvas();
  const left = x + AWAY + CARD_WIDTH > width ? x - AWAY - CARD_WIDTH : x + AWAY;
  const top = Math.max(8, Math.min(y + AWAY, height - CARD_HEIGHT));
  return (
    <Paper shadow="md" p="xs" className={own.hover} style={{ left, top, width: CARD_WIDTH }} data-testid="hover-card" data-label={label}>
      <Text size="sm" fw={600}>
        {words.name(label)}
      </Text>
      <ObjectRows rows={rowsOf(table, label, true).slice(0, 9)} />
    </Paper>
  );
}
