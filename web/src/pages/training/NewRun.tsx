/** A new run: the labelled images, the name, and how long. */
import { Button, NumberInput, Paper, Select, Stack, TextInput, Title } from "@mantine/core";
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { useNavigate } from "react-router";

import { answer, api, type Schemas } from "../../api/client";
import { newKey } from "../../api/key";
import { models } from "../../api/models";
import { ago } from "../../format";
import { Refused } from "../../parts/Refused";
import type { Draft } from "../../uploads/draft";
import { labelled, useDraft } from "../../uploads/useDraft";
import { DataDrop } from "./DataDrop";
import { datasetOf, isName } from "./dataset";
import { PresentModel } from "./PresentModel";
import { runs } from "./queries";
import { words } from "./words";

type Request = Schemas["TrainingRequest"];
const NETWORKS = Object.entries(words.new.networks).map(([value, label]) => ({ value, label }));
const USUAL_MINUTES = 20;

export function NewRun({ refused }: { refused: boolean }) {
  const draft = useDraft(labelled);
  const [name, setName] = useState("");
  const [network, setNetwork] = useState<string>("unet");
  const [channels, setChannels] = useState("");
  const [minutes, setMinutes] = useState<number | string>(USUAL_MINUTES);
  const [begin, setBegin] = useState("");
  const [present, setPresent] = useState<string>();
  const start = useStart();
  const hindrance = hindranceOf(draft, name);
  return (
    <Paper withBorder component="section" p="md" aria-label={words.new.title}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const budget = typeof minutes === "number" ? minutes : undefined;
          start.mutate({
            name,
            dataset: datasetOf(draft) ?? "",
            channels: channels.split(/[\s,]+/).filter(Boolean),
            network: network as Request["network"],
            start: begin || undefined,
            minutes: budget,
            compare_with: present,
            recipe: "fast",
            seed: 0,
          });
        }}
      >
        <Stack gap="md">
          <Title order={3} size="h5">
            {words.new.title}
          </Title>
          <DataDrop draft={draft} />
          <TextInput
            label={words.new.name}
            placeholder={words.new.nameHint}
            maxLength={63}
            value={name}
            error={name && !isName(name) ? words.new.nameWrong : undefined}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Select label={words.new.network} data={NETWORKS} value={network} allowDeselect={false} onChange={(value) => setNetwork(value ?? "unet")} />
          <Beginning value={begin} choose={setBegin} />
          <TextInput
            label={words.new.channels}
            description={words.new.channelsHint}
            placeholder="nuclear=1, membrane=2"
            maxLength={400}
            value={channels}
            onChange={(event) => setChannels(event.currentTarget.value)}
          />
          <NumberInput label={words.new.minutes} description={words.new.minutesHint} min={0.1} max={20160} value={minutes} onChange={setMinutes} />
          <PresentModel label={words.new.compare} description={words.new.compareHint} value={present} choose={setPresent} />
          {start.error && <Refused error={start.error} />}
          <Button type="submit" disabled={refused || Boolean(hindrance)} loading={start.isPending} fullWidth>
            {hindrance ?? words.new.start}
          </Button>
        </Stack>
      </form>
    </Paper>
  );
}

/** Why it cannot be started; undefined: it can. */
function hindranceOf({ items, set }: Draft, name: string): string | undefined {
  if (items.length === 0 || !set) return words.new.nothing;
  if (items.some(({ state }) => state !== "up")) return words.new.sending;
  return isName(name) ? undefined : words.new.nameless;
}

/** The same request keeps its key: sent again after a lost answer, it means the same run. */
function useStart() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const sent = useRef({ body: "", key: "" });
  return useMutation({
    mutationFn: (request: Omit<Request, "key">) => {
      const body = JSON.stringify(request);
      if (sent.current.body !== body) sent.current = { body, key: newKey() };
      return answer(api.POST("/api/v1/training", { body: { ...request, key: sent.current.key } }));
    },
    onSuccess: (run) => {
      // The files belong to the run from now on.
      labelled.clear(false);
      void client.invalidateQueries({ queryKey: runs.queryKey, exact: true });
      void navigate(`/training/${run.id}`);
    },
  });
}

/** Weights to learn on: of the models that come with cellfleet, and of runs that are done. */
function Beginning({ value, choose }: { value: string; choose: (start: string) => void }) {
  const { data: known } = useQuery(models);
  const { data: trained } = useInfiniteQuery(runs);
  const done = trained?.pages.flatMap((page) => page.runs).filter(({ state }) => state === "done") ?? [];
  const bundled = known?.models.filter(({ bundled: own, task, size_bytes: size }) => own && task === "segmentation" && size > 0) ?? [];
  const options = [
    { value: "", label: words.new.fresh },
    ...bundled.map(({ name }) => ({ value: name, label: name })),
    ...done.map(({ id, request, created_ms: at }) => ({ value: id, label: words.new.run(request.name, ago(at)) })),
  ];
  return (
    <Select label={words.new.begin} description={words.new.beginHint} data={options} value={value} onChange={(one) => choose(one ?? "")} allowDeselect={false} />
  );
}
