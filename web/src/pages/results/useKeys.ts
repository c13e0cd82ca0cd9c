/** Keys of the viewer, wherever the focus is, except where keys mean something else. */
import { useEffect, useRef } from "react";

const STEP = 0.15;
const TAKEN = "input, textarea, select, [contenteditable], [role=slider], [role=listbox], [role=dialog], [role=radio]";
const ARROWS_TAKEN = `${TAKEN}, [role=tab], [role=group]`;

interface Moves {
  move: (right: number, down: number) => void;
  zoomBy: (steps: number) => void;
  fit: () => void;
}

interface Keys {
  camera: Moves;
  outlines: () => void;
  previous?: () => void;
  next?: () => void;
  letGo: () => void;
  /** Show the other of two jobs that are compared. */
  other?: () => void;
}

export function useKeys(keys: Keys) {
  const latest = useRef(keys);
  useEffect(() => {
    latest.current = keys;
  });
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const on = event.target instanceof Element ? event.target : document.body;
      const taken = event.key.startsWith("Arrow") ? ARROWS_TAKEN : TAKEN;
      if (event.ctrlKey || event.metaKey || event.altKey || on.closest(taken)) return;
      const act = action(event.key, latest.current);
      if (!act) return;
      event.preventDefault();
      act();
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
}

function action(key: string, { camera, outlines, previous, next, letGo, other }: Keys): (() => void) | undefined {
  const known: Record<string, (() => void) | undefined> = {
    ArrowLeft: () => camera.move(-STEP, 0),
    ArrowRight: () => camera.move(STEP, 0),
    ArrowUp: () => camera.move(0, -STEP),
    ArrowDown: () => camera.move(0, STEP),
    "+": () => camera.zoomBy(0.5),
    "=": () => camera.zoomBy(0.5),
    "-": () => camera.zoomBy(-0.5),
    "−": () => camera.zoomBy(-0.5),
    0: () => camera.fit(),
    o: outlines,
    b: other,
    "[": previous,
    "]": next,
    n: next,
    Escape: letGo,
  };
  return known[key.length === 1 ? key.toLowerCase() : key];
}
