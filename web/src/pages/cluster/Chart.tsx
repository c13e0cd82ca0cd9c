/** What a month costs, added up from day to day, with the budget as a line; the same as a table for who does not see it. */
import { Table, VisuallyHidden } from "@mantine/core";

import { dollars } from "../../format";
import css from "./Chart.module.css";
import { addedUp, type Day, daysIn, monthName } from "./month";
import { words } from "./words";

const WIDTH = 920;
const HEIGHT = 220;
const LEFT = 56;
const TOP = 18;
const BOTTOM = 22;
const BAR = 0.68;
/** Of the height, so that the highest bar does not touch the top. */
const ROOM = 1.08;

interface Props {
  month: string;
  usd: readonly number[];
  budget: number | null;
}

export function Chart({ month, usd, budget }: Props) {
  const days = addedUp(usd);
  const count = daysIn(month);
  const highest = Math.max(days.at(-1)?.sum ?? 0, budget ?? 0) * ROOM;
  const base = HEIGHT - BOTTOM;
  const y = (amount: number) => base - (highest > 0 ? (amount / highest) * (base - TOP) : 0);
  const step = (WIDTH - LEFT) / count;
  return (
    <>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} className={css.chart} aria-hidden>
        {[0.5, 1].map((part) => (
          <g key={part}>
            <line className={css.axis} x1={LEFT} x2={WIDTH} y1={y((part * highest) / ROOM)} y2={y((part * highest) / ROOM)} />
            <text className={css.label} x={LEFT - 8} y={y((part * highest) / ROOM) + 4} textAnchor="end">
              {dollars((part * highest) / ROOM)}
            </text>
          </g>
        ))}
        <line className={css.axis} x1={LEFT} x2={WIDTH} y1={base} y2={base} />
        {days.map((day) => (
          <Bar key={day.day} day={day} x={LEFT + (day.day - 1) * step + (step * (1 - BAR)) / 2} width={step * BAR} y={y} />
        ))}
        {[...Array(count).keys()].map((index) => index + 1).filter((day) => day === 1 || day % 5 === 0).map((day) => (
          <text key={day} className={css.label} x={LEFT + (day - 0.5) * step} y={HEIGHT - 6} textAnchor="middle">
            {day}
          </text>
        ))}
        {budget !== null && (
          <>
            <line className={css.budget} x1={LEFT} x2={WIDTH} y1={y(budget)} y2={y(budget)} />
            <text className={css.limit} x={WIDTH} y={y(budget) - 5} textAnchor="end">
              {words.month.budget} {dollars(budget)}
            </text>
          </>
        )}
      </svg>
      <VisuallyHidden>
        <Days month={month} days={days} />
      </VisuallyHidden>
    </>
  );
}

function Bar({ day: { day, usd, sum }, x, width, y }: { day: Day; x: number; width: number; y: (amount: number) => number }) {
  const { thatDay, soFar } = words.month;
  return (
    <g>
      <title>{`${day}: ${dollars(usd)} ${thatDay}, ${dollars(sum)} ${soFar}`}</title>
      <rect className={css.before} x={x} width={width} y={y(sum - usd)} height={y(0) - y(sum - usd)} />
      <rect className={css.added} x={x} width={width} y={y(sum)} height={y(sum - usd) - y(sum)} />
    </g>
  );
}

function Days({ month, days }: { month: string; days: readonly Day[] }) {
  const { chart, day, thatDay, soFar } = words.month;
  return (
    <Table>
      <Table.Caption>{`${chart}, ${monthName(month)}`}</Table.Caption>
      <Table.Thead>
        <Table.Tr>
          {[day, thatDay, soFar].map((name) => (
            <Table.Th key={name}>{name}</Table.Th>
          ))}
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {days
          .filter(({ usd }) => usd > 0)
          .map((one) => (
            <Table.Tr key={one.day}>
              <Table.Td>{one.day}</Table.Td>
              <Table.Td>{dollars(one.usd)}</Table.Td>
              <Table.Td>{dollars(one.sum)}</Table.Td>
            </Table.Tr>
          ))}
      </Table.Tbody>
    </Table>
  );
}
