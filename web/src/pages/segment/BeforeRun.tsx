/** What will be done and how long it may take; and the button that makes the job. */
import { Button, Paper, Stack, Table, Text, TextInput, Title } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef } from "react";
import { useNavigate } from "react-router";

import { answer, api, type Schemas } from "../../api/client";
import { pixels as pixelText } from "../../format";
import { Refused } from "../../parts/Refused";
import type { Draft } from "../../uploads/draft";
import { drafts } from "../../uploads/useDraft";
import type { Facts } from "./facts";
import type { Preview } from "./looks";
import css from "./SegmentPage.module.css";
import { change, forgetAnswers, formatsOf, newKey, useSettings, type Spec } from "./settings";
import { words } from "./words";

type Request = Schemas["JobRequest"];

interface Properties {
  draft: Draft;
  facts: Facts;
  spec?: Spec;
  preview?: Preview;
  question?: string;
}

/** Few images are waited for: they go before long jobs. */
const FEW_IMAGES = 20;

export function BeforeRun({ draft, facts, spec, preview, question }: Properties) {
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
  return (
    <Paper withBorder component="section" p="md" pb={0} aria-label={words.before.title}>
      <Stack gap="sm">
        <Title order={3} size="h5">
          {words.before.title}
        </Title>
        <TextInput
          size="sm"
          label={words.before.name}
          placeholder={draft.name}
          maxLength={200}
          value={settings.name}
          onChange={(event) => change({ name: event.currentTarget.value })}
        />
        <Table withRowBorders={false} verticalSpacing={4} horizontalSpacing={0}>
          <Table.Tbody>
            <Line name={words.before.images} value={`${words.files.title(images)}${more ? "+" : ""}`} />
            <Line
              name={words.before.pixels}
              value={pixels === undefined ? "–" : more ? words.before.atLeast(pixelText(pixels)) : pixelText(pixels)}
              hint={pixels !== undefined && guessed ? words.before.extrapolated : undefined}
            />
            <Time pixels={pixels} preview={preview} />
            <Line name={words.before.results} value={formatsOf(settings).map((one) => words.formats[one][0]).join(", ")} />
          </Table.Tbody>
        </Table>
        <Stack gap="xs" className={css.run}>
          {submit.error && <Refused error={submit.error} />}
          <Button
            size="md"
            disabled={question !== undefined || !spec}
            loading={submit.isPending}
            aria-describedby="open-question"
            onClick={() => spec && submit.mutate(requestOf(draft, facts, spec, { name: settings.name, formats: formatsOf(settings) }))}
          >
            {draft.items.length === 0 ? words.before.empty : words.before.button(images, more)}
          </Button>
          <Text id="open-question" size="sm" c="dimmed" ta="center" aria-live="polite">
            {question}
          </Text>
        </Stack>
      </Stack>
    </Paper>
  );
}

function Line({ name, value, hint }: { name: string; value: string; hint?: string }) {
  return (
    <Table.Tr>
      <Table.Th fw={400} c="dimmed" w={76} style={{ verticalAlign: "top" }}>
        {name}
      </Table.Th>
      <Table.Td>
        {value}
        {hint && (
          <Text size="xs" c="dimmed">
            {hint}
          </Text>
        )}
      </Table.Td>
    </Table.Tr>
  );
}

function Time({ pixels, preview }: { pixels?: number; preview?: Preview }) {
  if (pixels === undefined || !preview) return <Line name={words.before.time} value="–" hint={words.before.noEstimate} />;
  return <Line name={words.before.time} value={words.before.about(secondsFor(pixels, preview))} hint={words.before.estimate} />;
}

/** As if all images were like the region of the preview. */
export function secondsFor(pixels: number, { seconds, region }: Preview): number {
  return (seconds / (region.width * region.height)) * pixels;
}

export function requestOf(
  draft: Draft, facts: Facts, spec: Spec, { name, formats }: { name: string; formats: Request["formats"] },
): Omit<Request, "key"> & { key: string } {
  const inSet = draft.items.filter(({ input }) => input?.startsWith(`set:${draft.set}/`));
  // The whole set where all of it is meant: folders keep their places, and any number of files is one input.
  const whole = draft.set !== undefined && inSet.length > 0 && !draft.partial;
  const others = draft.items.filter((item) => !whole || !inSet.includes(item));
  const inputs = [...(whole ? [`set:${draft.set}`] : []), ...others.flatMap(({ input }) => input ?? [])];
  return {
    name: name.trim() || draft.name,
    inputs,
    segment: spec,
    formats,
    priority: facts.images <= FEW_IMAGES && !facts.more ? "interactive" : "normal",
    key: "",
  };
}
