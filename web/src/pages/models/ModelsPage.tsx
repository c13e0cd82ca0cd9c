/** The models that jobs can use, and a place to add one. */
import { Badge, Button, Card, Group, SimpleGrid, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import { answer, api, type Schemas } from "../../api/client";
import { about } from "../../api/queries";
import { bytes } from "../../format";
import { Refused } from "../../parts/Refused";
import { AddModel } from "./AddModel";
import { words } from "./words";

type Model = Schemas["ModelInfo"];

export const modelList = { queryKey: ["models"], queryFn: () => answer(api.GET("/api/v1/models")) };

export function ModelsPage() {
  const list = useQuery(modelList);
  const { data: who } = useQuery(about);
  return (
    <Stack maw={1180} mx="auto" gap="lg">
      <div>
        <Title order={2}>{words.title}</Title>
        <Text c="dimmed">{words.lead}</Text>
      </div>
      {list.error && <Refused error={list.error} again={() => void list.refetch()} />}
      <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }}>
        {list.isPending && [0, 1].map((key) => <Skeleton key={key} height={220} />)}
        {list.data?.models.map((model) => <ModelCard key={`${model.name}:${model.version}`} model={model} />)}
        {who?.role === "admin" && <AddModel />}
      </SimpleGrid>
    </Stack>
  );
}

function ModelCard({ model }: { model: Model }) {
  const size = model.microns_per_pixel;
  const facts = [
    [words.version, model.version],
    [words.sees, model.roles.join(", ")],
    [words.scale, size ? `${size} µm` : words.anyScale],
    [words.licence, model.licence || "–"],
    [words.size, model.size_bytes ? bytes(model.size_bytes) : words.noWeights],
  ] as const;
  return (
    <Card withBorder padding="lg">
      <Stack gap="sm" h="100%">
        <Group justify="space-between">
          <Title order={3} size="h4">
            {model.name}
          </Title>
          {model.bundled && (
            <Badge variant="light" tt="none">
              {words.bundled}
            </Badge>
          )}
        </Group>
        <Text size="sm" lineClamp={4} title={model.description}>
          {model.description}
        </Text>
        <dl style={{ margin: 0 }}>
          {facts.map(([name, value]) => (
            <Group key={name} gap="xs" wrap="nowrap">
              <Text component="dt" size="sm" c="dimmed" w={84}>
                {name}
              </Text>
              <Text component="dd" size="sm" m={0} truncate title={value}>
                {value}
              </Text>
            </Group>
          ))}
        </dl>
        <Button component={Link} to={`/?model=${encodeURIComponent(`${model.name}:${model.version}`)}`} variant="light" mt="auto">
          {words.use}
        </Button>
      </Stack>
    </Card>
  );
}
