/** What the jobs of a month cost: day by day against the budget, by user, and every bill as a file. */
import { ActionIcon, Button, Card, Group, Skeleton, Stack, Table, Text, Title } from "@mantine/core";
import { IconChevronLeft, IconChevronRight, IconDownload } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { answer, api, type Schemas } from "../../api/client";
import { costs as costsQuery } from "../../api/queries";
import { count, dollars, duration } from "../../format";
import { BudgetSpent } from "../../parts/Budget";
import { Refused } from "../../parts/Refused";
import { Chart } from "./Chart";
import { asCsv, monthName, shifted } from "./month";
import { words } from "./words";

type Costs = Schemas["Costs"];

const w = words.month;

export function Month() {
  const now = useQuery(costsQuery());
  const [chosen, setChosen] = useState<string>();
  const shown = useQuery({ ...costsQuery(chosen), enabled: chosen !== undefined });
  const { data, error, refetch } = chosen === undefined ? now : shown;
  if (!data || !now.data) return error ? <Refused error={error} again={() => void refetch()} /> : <Skeleton h={420} />;
  const newest = now.data.month;
  const month = chosen ?? newest;
  const go = (by: number) => setChosen(shifted(month, by) === newest ? undefined : shifted(month, by));
  return (
    <Stack gap="md">
      <BudgetSpent />
      <Card withBorder padding="lg" component="section" aria-label={`${w.title} ${monthName(month)}`}>
        <Group justify="space-between" align="start" wrap="nowrap" mb="md">
          <Stack gap={2}>
            <Title order={3} size="h4" aria-live="polite">
              {w.title} {monthName(month)}
            </Title>
            <Text size="sm" c="dimmed">
              {w.lead}
            </Text>
          </Stack>
          <Group gap={4} wrap="nowrap">
            <ActionIcon variant="default" size={36} aria-label={w.before} onClick={() => go(-1)}>
              <IconChevronLeft size={18} />
            </ActionIcon>
            <ActionIcon variant="default" size={36} aria-label={w.next} onClick={() => go(1)} disabled={month >= newest}>
              <IconChevronRight size={18} />
            </ActionIcon>
          </Group>
        </Group>
        {error ? <Refused error={error} again={() => void refetch()} /> : <Sums costs={data} />}
      </Card>
    </Stack>
  );
}

function Sums({ costs }: { costs: Costs }) {
  const budget = costs.budget_usd ?? null;
  return (
    <Stack gap="lg">
      <Group align="baseline" gap="xs">
        <Text fw={600} fz={28} lh={1.2}>
          {dollars(costs.usd)}
        </Text>
        <Text c="dimmed">{budget === null ? w.noBudget : `${w.of} ${dollars(budget)}`}</Text>
      </Group>
      {costs.users.length === 0 ? (
        <Text c="dimmed">{w.none}</Text>
      ) : (
        <>
          <Chart month={costs.month} usd={costs.days_usd} budget={budget} />
          <Users users={costs.users} />
          <Save month={costs.month} />
        </>
      )}
      {costs.unpriced_seconds >= 1 && (
        <Text size="sm" c="dimmed">
          {w.unpriced(duration(costs.unpriced_seconds))}
        </Text>
      )}
    </Stack>
  );
}

function Users({ users }: { users: Costs["users"] }) {
  const { user, ...numbers } = w.users;
  return (
    <Table.ScrollContainer minWidth={560}>
      <Table>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{user}</Table.Th>
            {Object.values(numbers).map((name) => (
              <Table.Th key={name} ta="right">
                {name}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {users.map((one) => (
            <Table.Tr key={one.owner}>
              <Table.Td maw={260}>
                <Text size="sm" truncate title={one.owner}>
                  {one.owner}
                </Text>
              </Table.Td>
              {[count(one.jobs), count(one.images), duration(one.seconds), one.gpu_seconds ? duration(one.gpu_seconds) : "–", dollars(one.usd)].map(
                (value, index) => (
                  <Table.Td key={index} ta="right">
                    {value}
                  </Table.Td>
                ),
              )}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

/** The browser sends no token with a download, so the pages are fetched and the file is made here. */
function Save({ month }: { month: string }) {
  const save = useMutation({
    mutationFn: async () => {
      const url = URL.createObjectURL(new Blob([asCsv(await billsOf(month))], { type: "text/csv" }));
      const link = Object.assign(document.createElement("a"), { href: url, download: `bills-${month}.csv` });
      link.click();
      URL.revokeObjectURL(url);
    },
  });
  return (
    <Stack gap="xs" align="start">
      <Button variant="default" leftSection={<IconDownload size={16} />} loading={save.isPending} onClick={() => save.mutate()}>
        {w.save}
      </Button>
      {save.error && <Refused error={save.error} />}
    </Stack>
  );
}

async function billsOf(month: string): Promise<Schemas["Bill"][]> {
  const bills: Schemas["Bill"][] = [];
  let after: string | undefined;
  do {
    const page = await answer(api.GET("/api/v1/bills", { params: { query: { month, after } } }));
    bills.push(...page.bills);
    after = page.after ?? undefined;
  } while (after);
  return bills;
}
