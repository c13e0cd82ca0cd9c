/** What goes on in the cluster, and what it costs now, idle and at full size. */
import { Card, SimpleGrid, Stack, Text, Title } from "@mantine/core";

import type { Schemas } from "../../api/client";
import { dollars } from "./fields";
import { words } from "./words";

const HOURS_PER_MONTH = 730;

export function Now({ state: { now, money } }: { state: Schemas["ClusterState"] }) {
  const w = words.now;
  const hourly = (usd: number) => `${dollars(usd)} ${w.anHour}`;
  const figures = [
    [w.workers, String(now.workers)],
    [w.queued, String(now.queued)],
    [w.inFlight, String(now.in_flight)],
    ...(now.usd_per_hour === null ? [] : [[w.cost, `${w.about} ${hourly(now.usd_per_hour)}`]]),
    ...(money ? [[w.idle, `${hourly(money.idle_usd_per_hour)} (${dollars(money.idle_usd_per_hour * HOURS_PER_MONTH)} ${w.aMonth})`]] : []),
    ...(money ? [[w.full, hourly(money.full_usd_per_hour)]] : []),
  ];
  return (
    <Card withBorder padding="lg">
      <Title order={3} size="h4" mb="sm">
        {w.title}
      </Title>
      <SimpleGrid cols={3} spacing="lg" component="dl" m={0}>
        {figures.map(([name, value]) => (
          <Stack key={name} gap={0}>
            <Text component="dt" size="sm" c="dimmed">
              {name}
            </Text>
            <Text component="dd" m={0} fw={600}>
              {value}
            </Text>
          </Stack>
        ))}
      </SimpleGrid>
      <Text size="sm" c="dimmed" mt="md">
        {money ? [money.unknown.length > 0 && `${w.unknown} ${money.unknown.join(", ")}.`, money.priced && `${w.priced} ${money.priced}.`].filter(Boolean).join(" ") : w.noFile}
      </Text>
    </Card>
  );
}
