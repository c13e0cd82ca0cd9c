/** One job, live: by events, and when these break by asking again with growing pauses. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import type { Job } from "./client";
import { events } from "./events";
import { job as jobQuery } from "./queries";

const FINAL = new Set(["done", "failed", "cancelled"]);
const LONGEST_PAUSE_MS = 15_000;

export const hasEnded = (job: Job) => FINAL.has(job.state);

export interface Live {
  job?: Job;
  error: Error | null;
  /** When the service was heard of last, while it does not answer. */
  lostAt?: Date;
}

export function useJob(id: string): Live {
  const client = useQueryClient();
  const query = useQuery(jobQuery(id));
  const [lostAt, setLostAt] = useState<Date>();
  const settled = query.data ? hasEnded(query.data) && query.data.summarised : false;
  const known = Boolean(query.data);
  useEffect(() => {
    if (!known || settled) return undefined;
    const stop = new AbortController();
    let heard = new Date();
    let pause = 500;
    const follow = async () => {
      while (!stop.signal.aborted) {
        try {
          for await (const data of events(`/api/v1/jobs/${id}/events`, stop.signal)) {
            heard = new Date();
            pause = 500;
            setLostAt(undefined);
            client.setQueryData(jobQuery(id).queryKey, JSON.parse(data) as Job);
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
  }, [client, id, known, settled]);
  return { job: query.data, error: query.error, lostAt };
}
