import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen } from "@testing-library/react";
import { MemoryRouter } from "react-router";
import { afterEach, expect, test } from "vitest";

import { costs } from "../api/queries";
import { words } from "../words";
import { BudgetSpent } from "./Budget";

afterEach(cleanup);

function show(paused: boolean) {
  const client = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } });
  client.setQueryData(costs().queryKey, { month: "2026-11", budget_usd: 20, usd: 21, paused, days_usd: [], users: [], unpriced_seconds: 0 } as never);
  render(
    <MantineProvider>
      <QueryClientProvider client={client}>
        <MemoryRouter>
          <BudgetSpent linked />
        </MemoryRouter>
      </QueryClientProvider>
    </MantineProvider>,
  );
}

test("a budget that is spent is told, with what to do and the way to the month", () => {
  show(true);
  expect(screen.getByRole("alert").textContent).toContain(words.budget.spent("$20.00"));
  expect(screen.getByRole("alert").textContent).toContain(words.budget.todo);
  expect(screen.getByRole("link", { name: words.budget.look }).getAttribute("href")).toBe("/cluster");
});

test("nothing is told while there is money left", () => {
  show(false);
  expect(screen.queryByRole("alert")).toBeNull();
});
