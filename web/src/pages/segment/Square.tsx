/** The thumbnail of an image with the square that is previewed: it is dragged, or moved by the arrow keys. */
import { useEffect, useState, type CSSProperties, type KeyboardEvent, type PointerEvent } from "react";

import type { Region } from "./looks";
import css from "./Preview.module.css";
import { words } from "./words";

export const SIDE_PX = 512;

interface Properties {
  thumbnail: string;
  /** Of the image, px. */
  width: number;
  height: number;
  region: Region;
  /** Called when the square has come to rest. */
  moved: (region: Region) => void;
}

/** The square in the middle, or as much of it as the image has. */
export function middle(width: number, height: number): Region {
  const [columns, rows] = [Math.min(width, SIDE_PX), Math.min(height, SIDE_PX)];
  return { x: Math.floor((width - columns) / 2), y: Math.floor((height - rows) / 2), width: columns, height: rows };
}

/** Keep the square inside the image. */
export function inside(region: Region, width: number, height: number): Region {
  const bound = (value: number, most: number) => Math.round(Math.min(Math.max(0, value), most));
  return { ...region, x: bound(region.x, width - region.width), y: bound(region.y, height - region.height) };
}

const STEPS: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
};
const REST_MS = 350;

export function Square({ thumbnail, width, height, region, moved }: Properties) {
  const [place, setPlace] = useState<Region>();
  const [held, setHeld] = useState<{ x: number; y: number }>();
  const shown = place ?? region;
  useEffect(() => {
    if (!place || held) return undefined;
    const timer = setTimeout(() => {
      moved(place);
      setPlace(undefined);
    }, REST_MS);
    return () => clearTimeout(timer);
  }, [place, held, moved]);
  const move = (x: number, y: number) => setPlace(inside({ ...shown, x, y }, width, height));
  /** Where the pointer is, in px of the image. */
  const at = (event: PointerEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * width, y: ((event.clientY - box.top) / box.height) * height };
  };
  function down(event: PointerEvent<HTMLElement>) {
    const { x, y } = at(event);
    const on = x >= shown.x && x < shown.x + shown.width && y >= shown.y && y < shown.y + shown.height;
    const offset = on ? { x: x - shown.x, y: y - shown.y } : { x: shown.width / 2, y: shown.height / 2 };
    event.currentTarget.setPointerCapture(event.pointerId);
    setHeld(offset);
    move(x - offset.x, y - offset.y);
  }
  function drag(event: PointerEvent<HTMLElement>) {
    if (!held) return;
    const { x, y } = at(event);
    move(x - held.x, y - held.y);
  }
  function press(event: KeyboardEvent) {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const far = event.shiftKey ? 1 : 4;
    move(shown.x + (step[0] * shown.width) / far, shown.y + (step[1] * shown.height) / far);
  }
  const part = (value: number, of: number) => `${(100 * value) / of}%`;
  return (
    <div
      className={css.thumbnail}
      style={{ "--ratio": width / height, aspectRatio: width / height } as CSSProperties}
      title={words.preview.hint}
      onPointerDown={down}
      onPointerMove={drag}
      onPointerUp={() => setHeld(undefined)}
      onPointerCancel={() => setHeld(undefined)}
    >
      <img src={thumbnail} alt={words.preview.whole} draggable={false} />
      <div
        role="application"
        tabIndex={0}
        aria-label={words.preview.square(shown.y, shown.x)}
        className={css.square}
        style={{ left: part(shown.x, width), top: part(shown.y, height), width: part(shown.width, width), height: part(shown.height, height) }}
        onKeyDown={press}
      />
    </div>
  );
}
