/** Which of two jobs is shown: they take turns, unless whoever looks wants nothing to move. */
import { useReducedMotion } from "@mantine/hooks";
import { useEffect, useState } from "react";

/** Long enough to see one, short enough to remember the other, ms. */
const TURN_MS = 900;

export interface Blink {
  /** Whether the other job is shown. */
  other: boolean;
  /** Whether they take turns by themselves. */
  running: boolean;
  setRunning: (running: boolean) => void;
  /** Show one of them, and stay. */
  show: (other: boolean) => void;
}

export function useBlink(wanted: boolean): Blink {
  const still = useReducedMotion(undefined, { getInitialValueInEffect: false });
  const [other, setOther] = useState(false);
  const [chosen, setRunning] = useState<boolean>();
  const running = chosen ?? !still;
  useEffect(() => {
    if (!wanted || !running) return undefined;
    const timer = setInterval(() => setOther((before) => !before), TURN_MS);
    return () => clearInterval(timer);
  }, [wanted, running]);
  const show = (next: boolean) => {
    setRunning(false);
    setOther(next);
  };
  return { other: wanted && other, running, setRunning, show };
}
