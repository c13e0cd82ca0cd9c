/** The border between two jobs on the canvas: dragged, or moved by keys. */
import { useRef, type KeyboardEvent, type PointerEvent } from "react";

import css from "./SwipeBar.module.css";
import { compareWords as words } from "./words";

const STEP = 0.02;
const LARGE_STEP = 0.1;

interface Properties {
  /** 0…1, of the width. */
  at: number;
  move: (at: number) => void;
}

export function SwipeBar({ at, move }: Properties) {
  const bar = useRef<HTMLDivElement>(null);
  const to = (place: number) => move(Math.min(1, Math.max(0, place)));
  const drag = (event: PointerEvent<HTMLDivElement>) => {
    const box = bar.current?.parentElement?.getBoundingClientRect();
    if (box && event.buttons) to((event.clientX - box.left) / box.width);
  };
  const press = (event: KeyboardEvent) => {
    const steps: Record<string, number> = {
      ArrowLeft: at - STEP, ArrowRight: at + STEP, PageDown: at - LARGE_STEP, PageUp: at + LARGE_STEP, Home: 0, End: 1,
    };
    const place = steps[event.key];
    if (place === undefined) return;
    event.preventDefault();
    to(place);
  };
  return (
    <div ref={bar} className={css.bar} style={{ left: `${100 * at}%` }}>
      <span className={css.left}>{words.here}</span>
      <span className={css.right}>{words.there}</span>
      <div
        className={css.handle}
        role="slider"
        tabIndex={0}
        aria-label={words.border}
        aria-orientation="horizontal"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(100 * at)}
        onKeyDown={press}
        onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
        onPointerMove={drag}
      />
    </div>
  );
}
