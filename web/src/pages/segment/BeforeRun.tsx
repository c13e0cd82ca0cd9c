/** What will be done and how long it may take; and the button that makes the job. */
import { Button, Paper, Stack, Text, TextInput, Title } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef } from "react";
import { useNavigate } from "react-router";

import { answer, api, type Schemas } from "../../api/client";
import { newKey } from "../../api/key";
import type { Model } from "../../api/models";
import { count, pixels as pixelText } from "../../format";
import { Refused } from "../../parts/Refused";
import type { Draft } from "../../uploads/draft";
import { drafts } from "../../uploads/useDraft";
import { costOf, fastestOf, planFor, timeOf } from "./estimate";
import type { Facts } from "./facts";
import type { Preview } from "./looks";
import { requestOf } from "./request";
import css from "./SegmentPage.module.css";
import { change, forgetAnswers, formatsOf, useSettings, type Spec } from "./settings";
import { words } from "./words";

type Request = Schemas["JobRequest"];

interface Properties {
  draft: Draft;
  facts: Facts;
  model?: Model;
  spec?: Spec;
  preview?: Preview;
  question?: string;
}

export function BeforeRun({ draft, facts, model, spec, preview, question }: Properties) {
  const settings = useSettings();
  const navigate = useNavigate();
  const client = useQueryClient();
  const key = useRef({ body: "", key: "" });
  const submit = useMutation({
    mutationFn: (request: Request) => {
      // The same request keeps its key: sent again after a lost answer, it means the same job.
      const body = JSON.stringify(request);
      if (key.current.body !== body) key.current = { body, key: newKey() };
      return answer(api.POST("/api/v1/jobs", { body: { ...request, key: key.current.key } }));
    },
    onSuccess: async (job) => {
      client.setQueryData(["job", job.id], job);
      await client.invalidateQueries({ queryKey: ["jobs"] });
      await navigate(`/jobs/${job.id}`);
      drafts.clear(false);
      forgetAnswers();
    },
  });
  const { images, more, pixels, guessed } = facts;
  const formats = formatsOf(settings, model);
  const { data: plan } = useQuery(planFor(facts, spec));
  const results = words.before.results(formats.map((one) => words.formats[one][0]).join(", "));
  return (
    <Paper withBorder component="section" p="md" aria-label={words.before.title}>
      <Stack gap="sm">
        <Title order={3} size="h5">
          {words.before.title}
        </Title>
        <TextInput
          size="xs"
          label={words.before.name}
          placeholder={draft.name}
          maxLength={200}
          value={settings.name}
          onChange={(event) => change({ name: event.currentTarget.value })}
          classNames={{ root: css.named }}
        />
        <dl className={css.facts}>
          <Fact name={words.before.images} value={`${count(images)}${more ? "+" : ""}`} />
          <Fact
            name={words.before.pixels}
            value={pixels === undefined ? "–" : more ? words.before.atLeast(pixelText(pixels)) : pixelText(pixels)}
            hint={pixels !== undefined && guessed ? words.before.extrapolated : undefined}
          />
          {plan ? <Planned plan={plan} /> : <Time pixels={pixels} preview={preview} />}
        </dl>
        <Text size="xs" c="dimmed" truncate title={results}>
          {results}
        </Text>
        {submit.error && <Refused error={submit.error} />}
        <Stack gap={6}>
          <Button
            size="md"
            disabled={question !== undefined || !spec}
            loading={submit.isPending}
            aria-describedby="open-question"
            onClick={() => spec && submit.mutate(requestOf(draft, facts, spec, { name: settings.name, formats }))}
          >
            {draft.items.length === 0 ? words.before.empty : words.before.button(images, more)}
          </Button>
          <Text id="open-question" size="sm" c="dimmed" ta="center" lineClamp={2} aria-live="polite">
            {question}
          </Text>
        </Stack>
      </Stack>
    </Paper>
  );
}

function Fact({ name, value, hint }: { name: string; value: string; hint?: string }) {
  return (
    <div>
      <Text component="dt" size="xs" c="dimmed">
        {name}
      </Text>
      <Text component="dd" m={0} size="sm" fw={600}>
        {value}
        {hint && (
          <Text span display="block" size="xs" c="dimmed" fw={400}>
            {hint}
          </Text>
        )}
      </Text>
    </div>
  );
}

function Planned({ plan }: { plan: Schemas["Plan"] }) {
  const [one] = plan.sizes;
  const more = fastestOf(plan);
  if (!one) return null;
  return (
    <>
      <Fact
        name={words.before.time}
        value={timeOf(one.seconds)}
        hint={more ? words.before.faster(timeOf(more.seconds), more.workers) : words.before.measured}
      />
      {one.on_demand_usd && <Fact name={words.before.cost} value={costOf(one.on_demand_usd)} hint={words.before.onDemand} />}
    </>
  );
}

function Time({ pixels, preview }: { pixels?: number; preview?: Preview }) {
  if (pixels === undefined || !preview) return <Fact name={words.before.time} value="–" hint={words.before.noEstimate} />;
  return <Fact name={words.before.time} value={words.before.about(secondsFor(pixels, preview))} hint={words.before.estimate} />;
}

/** As if all images were like the region of the preview. */
export function secondsFor(pixels: number, { seconds, region }: Preview): number {
  return (seconds / (region.width * region.height)) * pixels;
}
