/** What the pages ask the service for, and how long an answer is believed. */
import { keepPreviousData, QueryClient, queryOptions } from "@tanstack/react-query";

import { answer, api, Refusal } from "./client";

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // What is refused stays refused; what was not answered may be answered later.
      retry: (count, error) => count < 3 && !(error instanceof Refusal && error.status >= 400 && error.status < 500),
    },
  },
});

export const about = queryOptions({
  queryKey: ["about"],
  queryFn: () => answer(api.GET("/api/v1/about")),
  staleTime: 60_000,
});

export const job = (id: string) =>
  queryOptions({
    queryKey: ["job", id],
    queryFn: () => answer(api.GET("/api/v1/jobs/{job}", { params: { path: { job: id } } })),
  });

const BILLED_MS = 10_000;

/** What a job cost; asked again while it goes on, and once more when its bill is made out. */
export const bill = (id: string, settled: boolean) =>
  queryOptions({
    queryKey: ["bill", id, settled],
    queryFn: () => answer(api.GET("/api/v1/jobs/{job}/bill", { params: { path: { job: id } } })),
    placeholderData: keepPreviousData,
    refetchInterval: settled ? false : BILLED_MS,
    staleTime: settled ? Infinity : BILLED_MS,
  });

/** What a month costs, this one where none is named: one's own jobs, for administrators everybody's. */
export const costs = (month?: string) =>
  queryOptions({
    queryKey: ["costs", month],
    queryFn: () => answer(api.GET("/api/v1/costs", { params: { query: { month } } })),
    placeholderData: keepPreviousData,
    refetchInterval: BILLED_MS,
  });
