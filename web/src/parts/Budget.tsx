/** That the month's budget is spent, and what can be done. Nothing while it is not. */
import { Alert, Anchor, Text } from "@mantine/core";
import { IconCoin } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import { costs } from "../api/queries";
import { dollars } from "../format";
import { words } from "../words";

const READABLE = "var(--mantine-color-text)";

/** `linked`: with the way to the page that shows the month. */
export function BudgetSpent({ linked = false }: { linked?: boolean }) {
  const { data } = useQuery(costs());
  const budget = data?.budget_usd ?? 0;
  if (!data?.paused) return null;
  const title = (
    // The alert's own colour is too light on its ground.
    <Text span inherit c={READABLE}>
      {words.budget.spent(dollars(budget))}
    </Text>
  );
  return (
    <Alert color="yellow" role="alert" icon={<IconCoin aria-hidden />} title={title}>
      <Text size="sm">{words.budget.lost}</Text>
      <Text size="sm">{words.budget.todo}</Text>
      {linked && (
        <Anchor component={Link} to="/cluster" size="sm" c={READABLE} underline="always">
          {words.budget.look}
        </Anchor>
      )}
    </Alert>
  );
}
