/** What the service can reach itself: what is in a place, how much, and which places this browser used lately. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";

import { answer, api, Refusal, type Schemas } from "../../api/client";

export type PlaceEntry = Schemas["PlaceEntry"];

/** Whoever only passes through a folder does not have it counted. */
const REST_MS = 400;

const retry = (count: number, error: Error) => error instanceof Refusal && error.status === 503 && count < 3;

/** The entries of a place, page by page; of none, where looking may begin. */
export const listed = (place: string) =>
  infiniteQueryOptions({
    queryKey: ["place", place],
    queryFn: ({ pageParam: after, signal }) => answer(api.POST("/api/v1/places", { body: { place, after, limit: 200 }, signal })),
    initialPageParam: "",
    getNextPageParam: (page) => page.after,
    staleTime: 10_000,
    retry,
  });

export const counted = (place: string) =>
  queryOptions({
    queryKey: ["place-count", place],
    queryFn: async ({ signal }) => {
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
      signal.throwIfAborted();
      return answer(api.POST("/api/v1/places/count", { body: { place }, signal }));
    },
    staleTime: 60_000,
    retry,
  });

const KEY = "cellfleet-places";
const MOST = 5;

/** The places that were used last, the latest first. */
export function lately(): string[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => typeof one === "string").slice(0, MOST) : [];
  } catch {
    return [];
  }
}

export function used(place: string): void {
  // What stands behind a question mark may be a key.
  if (!place.includes("?")) localStorage.setItem(KEY, JSON.stringify([place, ...lately().filter((one) => one !== place)].slice(0, MOST)));
}
