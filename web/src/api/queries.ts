/** What the pages ask the service for, and how long an answer is believed. */
import { QueryClient, queryOptions } from "@tanstack/react-query";

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
