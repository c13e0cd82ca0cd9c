/** The models that jobs can use, and a place to add one. */
import { Badge, Button, Card, Group, Image, SimpleGrid, Skeleton, Stack, Text, Title } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";

import { answer, api } from "../../api/client";
import { token } from "../../api/login";
import { findsObjects, fullName, models, type Model } from "../../api/models";
import { about } from "../../api/queries";
import { bytes } from "../../format";
import { Refused } from "../../parts/Refused";
import { AddModel } from "./AddModel";
import { ModelText } from "./ModelText";
import css from "./Models.module.css";
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
        {inOrder(list.data?.models ?? []).map((model) => <ModelCard key={fullName(model)} model={model} admin={who?.role === "admin"} />)}
        {who?.role === "admin" && <AddModel />}
      </SimpleGrid>
    </Stack>
  );
}

const RANKS: Record<Model["task"], number> = { segmentation: 1, workflow: 2, classification: 3, translation: 4 };

/** The default first, then what jobs can be made with, then steps of workflows. */
const inOrder = (all: readonly Model[]) => [...all].sort((a, b) => rank(a) - rank(b));
const rank = (model: Model) => (model.default ? 0 : RANKS[model.task]);

function ModelCard({ model, admin }: { model: Model; admin: boolean }) {
  const segments = findsObjects(model);
  const [reading, setReading] = useState(false);
  return (
    <Card withBorder padding="lg">
      {model.picture && (
        <Card.Section>
          <Picture model={model} />
        </Card.Section>
      )}
      <Stack gap="sm" h="100%" pt={model.picture ? "md" : 0}>
        <Group justify="space-between" wrap="nowrap">
          <Title order={3} size="h4" miw={0} style={{ overflowWrap: "anywhere" }}>
            {model.name}
          </Title>
          {model.default && (
            <Badge variant="filled" tt="none" flex="none">
              {words.isDefault}
            </Badge>
          )}
        </Group>
        <Text size="sm" lineClamp={5} title={model.description}>
          {model.description}
        </Text>
        <Facts model={model} />
        <Group mt="auto" grow preventGrowOverflow={false} gap="xs" wrap="nowrap">
          {segments && (
            <Button component={Link} to={`/?model=${encodeURIComponent(fullName(model))}`} variant="light" size="xs" px={6}>
              {words.use}
            </Button>
          )}
          <Button variant="default" size="xs" px={6} onClick={() => setReading(true)} aria-label={words.detailsOf(model.name)}>
            {words.details}
          </Button>
          {segments && admin && !model.default && <MakeDefault model={model} />}
        </Group>
        {reading && <ModelText model={model} close={() => setReading(false)} />}
      </Stack>
    </Card>
  );
}

function Facts({ model }: { model: Model }) {
  const size = model.microns_per_pixel;
  const segments = findsObjects(model);
  const facts = [
    [words.version, model.bundled ? words.bundled(model.version) : model.version],
    segments ? [words.finds, words.compartments(model.compartments)] : [words.answers, model.task === "translation" ? words.image : words.classes],
    ...(model.roles.length > 0 ? [[words.sees, words.channels(model.roles)]] : []),
    ...(model.steps.length > 0 ? [[words.steps, model.steps.join(" → ")]] : []),
    ...(segments ? [[words.scale, size ? `${size} µm` : words.anyScale]] : []),
    ...(segments ? [[words.scores, scoresOf(model)]] : []),
    [words.test, model.tested ? words.tested : words.untested],
    [words.licence, model.licence || "–"],
    [words.size, model.size_bytes ? bytes(model.size_bytes) : words.noWeights],
  ] as [string, string][];
  return (
    <dl style={{ margin: 0 }}>
      {facts.map(([name, value]) => (
        <Group key={name} gap="xs" wrap="nowrap" align="start">
          <Text component="dt" size="sm" c="dimmed" w={84} flex="none">
            {name}
          </Text>
          <Text component="dd" size="sm" m={0} className={css.value}>
            {value}
          </Text>
        </Group>
      ))}
    </dl>
  );
}

const SHOWN_SCORES = 2;

/** A line for each of the first data sets, and how many more there are: all of them stand in the model's text. */
function scoresOf({ scores = {} }: Model): string {
  const all = Object.entries(scores);
  if (all.length === 0) return words.unscored;
  const lines = all.slice(0, SHOWN_SCORES).map(([data, f1]) => words.score(f1, data));
  const more = all.length - lines.length;
  return [...lines, ...(more > 0 ? [words.moreScores(more)] : [])].join("\n");
}

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
    <Button variant="default" size="xs" px={6} loading={make.isPending} onClick={() => make.mutate()} title={make.error?.message}>
      {words.makeDefault}
    </Button>
  );
}
