/** One run, live: by events, and when these break by opening them again with growing pauses. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import { events } from "../../api/events";
import { hasEnded, points as pointsOf, run as runOf, type Point, type Run } from "./queries";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const NONE: readonly Point[] = [];

export interface Live {
  run?: Run;
  points: readonly Point[];
  error: Error | null;
  /** When the service was heard of last, while it does not answer. */
  lostAt?: Date;
}

export function useRun(id: string): Live {
  const client = useQueryClient();
  const asked = useQuery(runOf(id));
  const log = useQuery(pointsOf(id));
  const [lostAt, setLostAt] = useState<Date>();
  const follows = Boolean(log.data) && Boolean(asked.data) && !hasEnded(asked.data as Run);
  useEffect(() => {
    if (!follows) return undefined;
    const stop = new AbortController();
    let heard = new Date();
    let pause = FIRST_PAUSE_MS;
    const follow = async () => {
      while (!stop.signal.aborted) {
        try {
          const last = client.getQueryData(pointsOf(id).queryKey)?.at(-1)?.step;
          for await (const data of events(`/api/v1/training/${id}/events`, stop.signal, last)) {
            heard = new Date();
            pause = FIRST_PAUSE_MS;
            setLostAt(undefined);
            const told = JSON.parse(data) as Run | Point;
            if ("state" in told) client.setQueryData(runOf(id).queryKey, told);
            else client.setQueryData(pointsOf(id).queryKey, (known) => withPoint(known ?? [], told));
          }
          return;
        } catch {
          if (stop.signal.aborted) return;
          setLostAt(heard);
          await new Promise((resolve) => setTimeout(resolve, pause));
          pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
        }
      }
    };
    void follow();
    return () => stop.abort();
  }, [client, id, follows]);
  return { run: asked.data, points: log.data ?? NONE, error: asked.error ?? log.error, lostAt };
}

/** Points in order, each step once: a run that was taken up again may tell some a second time. */
export function withPoint(known: readonly Point[], point: Point): Point[] {
  return [...known.filter(({ step }) => step < point.step), point];
}
