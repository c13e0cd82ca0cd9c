/** The models that jobs can use, and a place to add one. */
import { Badge, Button, Card, Group, Image, SimpleGrid, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "react-router";

import { answer, api } from "../../api/client";
import { token } from "../../api/login";
import { findsObjects, fullName, models, type Model } from "../../api/models";
import { about } from "../../api/queries";
import { bytes } from "../../format";
import { Refused } from "../../parts/Refused";
import { AddModel } from "./AddModel";
import { words } from "./words";

export function ModelsPage() {
  const list = useQuery(models);
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
        {list.data?.models.map((model) => <ModelCard key={fullName(model)} model={model} admin={who?.role === "admin"} />)}
        {who?.role === "admin" && <AddModel />}
      </SimpleGrid>
    </Stack>
  );
}

function ModelCard({ model, admin }: { model: Model; admin: boolean }) {
  const segments = findsObjects(model);
  return (
    <Card withBorder padding="lg">
      {model.picture && (
        <Card.Section>
          <Picture model={model} />
        </Card.Section>
      )}
      <Stack gap="sm" h="100%" pt={model.picture ? "md" : 0}>
        <Group justify="space-between">
          <Title order={3} size="h4">
            {model.name}
          </Title>
          <Group gap={6}>
            {model.default && (
              <Badge variant="filled" tt="none">
                {words.isDefault}
              </Badge>
            )}
            {model.bundled && (
              <Badge variant="light" tt="none">
                {words.bundled}
              </Badge>
            )}
          </Group>
        </Group>
        <Text size="sm" lineClamp={4} title={model.description}>
          {model.description}
        </Text>
        <Facts model={model} />
        <Group mt="auto" grow>
          {segments && (
            <Button component={Link} to={`/?model=${encodeURIComponent(fullName(model))}`} variant="light" px="xs">
              {words.use}
            </Button>
          )}
          {segments && admin && !model.default && <MakeDefault model={model} />}
        </Group>
      </Stack>
    </Card>
  );
}

function Facts({ model }: { model: Model }) {
  const size = model.microns_per_pixel;
  const segments = findsObjects(model);
  const facts = [
    [words.version, model.version],
    segments ? [words.sees, model.roles.join(", ")] : [words.answers, model.task === "translation" ? words.image : words.classes],
    ...(model.steps.length > 0 ? [[words.steps, model.steps.join(" → ")]] : []),
    ...(segments ? [[words.scale, size ? `${size} µm` : words.anyScale]] : []),
    [words.scores, scoresOf(model)],
    [words.test, model.tested ? words.tested : words.untested],
    [words.licence, model.licence || "–"],
    [words.size, model.size_bytes ? bytes(model.size_bytes) : words.noWeights],
  ] as [string, string][];
  return (
    <dl style={{ margin: 0 }}>
      {facts.map(([name, value]) => (
        <Group key={name} gap="xs" wrap="nowrap">
          <Text component="dt" size="sm" c="dimmed" w={84} flex="none">
            {name}
          </Text>
          <Text component="dd" size="sm" m={0} truncate title={name === words.scores ? allScores(model) : value}>
            {value}
          </Text>
        </Group>
      ))}
    </dl>
  );
}

/** The first data set, and how many more there are: all of them stand in the title. */
function scoresOf({ scores = {} }: Model): string {
  const [first, ...more] = Object.entries(scores);
  if (!first) return words.unscored;
  return [words.score(first[1], first[0]), ...(more.length > 0 ? [words.moreScores(more.length)] : [])].join(", ");
}

const allScores = ({ scores = {} }: Model) => Object.entries(scores).map(([data, f1]) => words.score(f1, data)).join("\n");

/** The browser sends no token with a picture, so where there is one it is fetched. */
function Picture({ model }: { model: Model }) {
  const plain = `/api/v1/models/${model.name}/${model.version}/picture`;
  const { data } = useQuery({
    queryKey: ["model picture", model.name, model.version],
    queryFn: async () => URL.createObjectURL(await (await fetch(plain, { headers: { Authorization: `Bearer ${token()}` } })).blob()),
    enabled: token() !== "",
    staleTime: Infinity,
  });
  const source = token() ? data : plain;
  return <Image src={source} h={150} fit="cover" alt={words.picture(model.name)} />;
}

function MakeDefault({ model }: { model: Model }) {
  const client = useQueryClient();
  const make = useMutation({
    mutationFn: () => answer(api.PUT("/api/v1/models/{name}/default", { params: { path: { name: model.name } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: models.queryKey }),
  });
  return (
    <Button variant="default" px="xs" loading={make.isPending} onClick={() => make.mutate()} title={make.error?.message}>
      {words.makeDefault}
    </Button>
  );
}
