/** Values of a column as bars: a range of them stands out, and the object below the pointer marks its bar. */
import { RangeSlider, Text } from "@mantine/core";
import { useRef, type PointerEvent } from "react";

import { binOf, type Histogram as Counts } from "../../viewer/histogram";
import { shown } from "./columns";
import type { Span } from "./look";
import css from "./Panel.module.css";
import { objectWords as words } from "./words";

const [WIDTH, HEIGHT] = [300, 110];

interface Properties {
  counts: Counts;
  name: string;
  unit: string;
  range?: Span;
  onRange: (range?: Span) => void;
  /** Of the object that is marked. */
  value?: number;
  colour?: (value: number) => string;
}

export function Histogram({ counts, name, unit, range, onRange, value, colour }: Properties) {
  const { low, high, counts: bars } = counts;
  const most = Math.max(...bars, 1);
  const width = WIDTH / bars.length;
  const marked = binOf(counts, value);
  const inside = (at: number) => {
    const middle = low + ((at + 0.5) / bars.length) * (high - low);
    return !range || (middle >= range[0] && middle <= range[1]);
  };
  const drag = useDrag(counts, onRange);
  return (
    <div>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" className={css.histogram} role="img" aria-label={words.histogram(name)} {...drag}>
        {bars.map((count, at) => {
          const height = count ? Math.max(1.5, (count / most) * (HEIGHT - 8)) : 0;
          const fill = colour?.(low + ((at + 0.5) / bars.length) * (high - low));
          return (
            <rect
              key={at}
              className={css.barOf}
              data-inside={inside(at)}
              data-marked={at === marked}
              x={at * width + 0.5}
              y={HEIGHT - height}
              width={Math.max(1, width - 1)}
              height={height}
              fill={at === marked ? undefined : fill}
            />
          );
        })}
        {marked !== undefined && (
          <path className={css.marker} d={`M${(marked + 0.5) * width - 5} 0h10l-5 7z`} data-testid="marked-bin" />
        )}
      </svg>
      <RangeSlider
        size="xs"
        min={low}
        max={high}
        step={(high - low) / 200}
        minRange={0}
        label={null}
        value={range ?? [low, high]}
        onChange={(next) => onRange(next[0] <= low && next[1] >= high ? undefined : next)}
        thumbFromLabel={words.brushFrom}
        thumbToLabel={words.brushTo}
        thumbValueText={(at) => `${shown(at)} ${unit}`}
      />
      <div className={css.ends}>
        <Text size="xs" c="dimmed">
          {shown(low)} {unit}
        </Text>
        <Text size="xs" c="dimmed">
          {shown(high)} {unit}
        </Text>
      </div>
    </div>
  );
}

/** Dragging over the bars is a range, a click without dragging takes one bar. */
function useDrag({ low, high, counts }: Counts, onRange: (range?: Span) => void) {
  const from = useRef<number>(undefined);
  const barAt = (event: PointerEvent<SVGSVGElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    const share = Math.min(0.9999, Math.max(0, (event.clientX - box.left) / box.width));
    return Math.floor(share * counts.length);
  };
  const edge = (bar: number) => low + (bar / counts.length) * (high - low);
  const tell = (one: number, other: number) => onRange([edge(Math.min(one, other)), edge(Math.max(one, other) + 1)]);
  return {
    onPointerDown: (event: PointerEvent<SVGSVGElement>) => {
      event.currentTarget.setPointerCapture(event.pointerId);
      from.current = barAt(event);
      tell(from.current, from.current);
    },
    onPointerMove: (event: PointerEvent<SVGSVGElement>) => {
      if (from.current !== undefined) tell(from.current, barAt(event));
    },
    onPointerUp: () => {
      from.current = undefined;
    },
    onPointerCancel: () => {
      from.current = undefined;
    },
  };
}
