/** What the pages of training ask the service for. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";

import { answer, api, type Schemas } from "../../api/client";

export type Run = Schemas["TrainingRun"];
export type Point = Schemas["TrainingPoint"];

const ENDED = new Set<Run["state"]>(["stopped", "done", "failed"]);
const SOON_MS = 3_000;
const LATER_MS = 20_000;
const ASK_AGAIN_MS = 2_000;

/** Nothing happens any more, unless somebody asks. */
export const hasEnded = (run: Run): boolean => ENDED.has(run.state);

export const runs = infiniteQueryOptions({
  queryKey: ["training"],
  queryFn: ({ pageParam }) => answer(api.GET("/api/v1/training", { params: { query: { after: pageParam || undefined, limit: 50 } } })),
  initialPageParam: "",
  getNextPageParam: (last) => last.after ?? undefined,
  refetchInterval: ({ state }) =>
    state.data?.pages.some((page) => page.runs.some((run) => !hasEnded(run))) ? SOON_MS : LATER_MS,
});

export const run = (id: string) =>
  queryOptions({
    queryKey: ["training", id],
    queryFn: () => answer(api.GET("/api/v1/training/{run}", { params: { path: { run: id } } })),
  });

export const points = (id: string) =>
  queryOptions({
    queryKey: ["training points", id],
    queryFn: async () => (await answer(api.GET("/api/v1/training/{run}/log", { params: { path: { run: id } } }))).points,
    // What comes later is told by events.
    staleTime: Infinity,
  });

/** Asked again until a trainer has made it. Without `model`: with the one that the run names. */
export const comparison = (id: string, model: string | undefined) =>
  queryOptions({
    queryKey: ["training comparison", id, model],
    queryFn: () => answer(api.GET("/api/v1/training/{run}/comparison", { params: { path: { run: id }, query: { model } } })),
    refetchInterval: ({ state }) => (state.data?.state === "queued" ? ASK_AGAIN_MS : false),
    staleTime: Infinity,
  });
