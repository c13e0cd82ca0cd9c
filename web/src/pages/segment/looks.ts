/** Looks at images before a job is made of them: two at a time, those that were asked for last first. */
import { queryOptions, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useMemo, useSyncExternalStore } from "react";

import { answer, api, Refusal, type Schemas } from "../../api/client";
import type { Item } from "../../uploads/draft";
import type { Spec } from "./settings";

export type Inspected = Schemas["Inspected"];
export type Preview = Schemas["Preview"];
export type Region = Schemas["Region"];

const AT_ONCE = 2;
let looking = 0;
const turns: (() => void)[] = [];

/** Wait for a turn, look, pass the turn on. Who is not interested any more is passed over. */
async function inTurn<T>(look: () => Promise<T>, signal: AbortSignal): Promise<T> {
  if (looking >= AT_ONCE) await new Promise<void>((resolve) => turns.push(resolve));
  else looking++;
  try {
    signal.throwIfAborted();
    return await look();
  } finally {
    const next = turns.pop();
    if (next) next();
    else looking--;
  }
}

/** Busy is not wrong: the service is asked again. */
const retry = (count: number, error: Error) =>
  error instanceof Refusal && (error.status === 503 || error.status === 0) && count < 5;

export const inspectKey = (input: string, image?: string, axes?: string) => ["inspect", input, image ?? "", axes ?? ""];

export const inspect = (input: string, image?: string, axes?: string) =>
  queryOptions({
    queryKey: inspectKey(input, image, axes),
    queryFn: ({ signal }) =>
      inTurn(() => answer(api.POST("/api/v1/inspect", { body: { input, image, axes }, signal })), signal),
    staleTime: Infinity,
    gcTime: Infinity,
    retry,
  });

export const preview = (input: string, image: string, region: Region | undefined, segment: Spec) =>
  queryOptions({
    queryKey: ["preview", input, image, region ?? null, segment],
    queryFn: ({ signal }) =>
      // The client's types take the pairs of `contrast` for lists.
      answer(api.POST("/api/v1/preview", { body: { input, image, region, t: 0, segment }, signal })) as Promise<Preview>,
    staleTime: Infinity,
    gcTime: 10 * 60_000,
    retry,
  });

export interface Look {
  data?: Inspected;
  error?: Error;
}

/** What is known of the images so far, by input. */
export function useLooks(items: readonly Item[], axes?: string): Map<string, Look> {
  const client = useQueryClient();
  const version = useSyncExternalStore(
    (tell) => client.getQueryCache().subscribe(({ type }) => type === "updated" && tell()),
    () => versionOf(client),
  );
  return useMemo(() => {
    const looks = new Map<string, Look>();
    if (version === "") return looks;
    for (const { input } of items) {
      const state = input && client.getQueryState<Inspected>(inspectKey(input, undefined, axes));
      if (state && (state.data || state.error)) looks.set(input, { data: state.data, error: state.error ?? undefined });
    }
    return looks;
  }, [client, items, axes, version]);
}

/** Changes whenever a look has ended. */
function versionOf(client: QueryClient): string {
  let [ended, latest] = [0, 0];
  for (const { state } of client.getQueryCache().findAll({ queryKey: ["inspect"] })) {
    ended += Number(state.status !== "pending");
    latest = Math.max(latest, state.dataUpdatedAt, state.errorUpdatedAt);
  }
  return `${ended} ${latest}`;
}
