/** The form that changes the description. What it would do is asked while one types; nothing is saved before the review. */
import { Alert, Button, Card, Fieldset, Group, NumberInput, Select, SimpleGrid, Stack, Switch, Text, TextInput, Title } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { answer, api, Refusal, type Schemas } from "../../api/client";
import { type Fields, fieldsOf, FIRST, mostGpus, NO_GPU, offered, type Offer, toFile } from "./fields";
import { Review } from "./Review";
import { words } from "./words";

const TYPED_MS = 400;
/** What a field means stands below it, so that fields of a row are level. */
const ORDER = { inputWrapperOrder: ["label", "input", "description"] as ("label" | "input" | "description")[] };
type Change = (part: Partial<Fields>) => void;
interface Part {
  fields: Fields;
  change: Change;
}

export function ChangeForm({ state }: { state: Schemas["ClusterState"] }) {
  const [fields, setFields] = useState(state.cluster ? fieldsOf(state.cluster) : FIRST);
  const [reviewing, setReviewing] = useState(false);
  const [typed] = useDebouncedValue(fields, TYPED_MS);
  const review = useQuery({
    queryKey: ["cluster", "review", state.version, typed],
    queryFn: () => answer(api.POST("/api/v1/admin/cluster/diff", { body: { fields: toFile(typed, state.cluster) } })),
    placeholderData: keepPreviousData,
    retry: false,
  });
  const change: Change = (part) => {
    setFields({ ...fields, ...part });
    setReviewing(false);
  };
  const verdict = typed === fields && !review.isPlaceholderData && !review.error ? review.data : undefined;
  const offers = review.data?.offers ?? state.offers;
  if (reviewing && review.data)
    return <Review review={review.data} fields={toFile(fields, state.cluster)} state={state} back={() => setReviewing(false)} />;
  return (
    <Card withBorder padding="lg">
      <Title order={3} size="h4" mb="md">
        {words.change}
      </Title>
      <Stack>
        <Place fields={fields} change={change} />
        <Machines fields={fields} change={change} offers={offers} />
        <Work fields={fields} change={change} />
        <Verdict review={review.data} error={review.error} />
        <Group>
          <Button disabled={!mayBeSaved(verdict)} onClick={() => setReviewing(true)}>
            {words.review}
          </Button>
          {verdict?.diff === "" && <Text c="dimmed">{words.same}</Text>}
        </Group>
      </Stack>
    </Card>
  );
}

const mayBeSaved = (verdict?: Schemas["ClusterReview"]) => Boolean(verdict?.diff) && !verdict?.refused;

/** What is still wrong, what is refused, or what follows. */
function Verdict({ review, error }: { review?: Schemas["ClusterReview"]; error: Error | null }) {
  if (error) {
    const problem = error instanceof Refusal ? error.problem.what : error.message;
    return (
      <Text role="status" c="dimmed">
        {words.still} {problem}.
      </Text>
    );
  }
  if (review?.refused) return <Alert role="alert" color="red" title={review.refused} />;
  return (
    <Text role="status" c="dimmed">
      {review?.sentences.join(" ")}
    </Text>
  );
}

function Place({ fields, change }: Part) {
  const w = words.form;
  const there = fields.where === "kubeconfig";
  const text = (name: "name" | "project" | "region" | "zones" | "context" | "bucket", label: string, description?: string) => (
    <TextInput {...ORDER} label={label} description={description} value={fields[name]} onChange={(event) => change({ [name]: event.currentTarget.value })} />
  );
  return (
    <Fieldset legend={words.groups.place}>
      <SimpleGrid cols={3} verticalSpacing="md">
        <Select
          label={w.where}
          data={[...words.places]}
          value={fields.where}
          onChange={(where) => change({ where: where ?? "gke" })}
          allowDeselect={false}
        />
        {there && text("context", w.context)}
        {fields.where === "gke" && text("project", w.project)}
        {fields.where === "aks" && text("project", w.group)}
        {!there && text("region", w.region)}
        {!there && text("zones", w.zones, w.zonesHint)}
        {text("bucket", w.bucket)}
        {text("name", w.name, w.nameHint)}
      </SimpleGrid>
    </Fieldset>
  );
}

function Machines({ fields, change, offers }: Part & { offers: readonly Offer[] }) {
  const w = words.form;
  const most = mostGpus(offers, fields);
  const shown = offers.some(({ type }) => type === fields.gpu) || fields.gpu === NO_GPU ? [] : [{ value: fields.gpu, label: fields.gpu.toUpperCase() }];
  const choices = [...shown, ...offers.map((offer) => offered(offer, fields.spot)), { value: NO_GPU, label: w.noGpu }];
  const count = (name: "min" | "max" | "cpuMax", label: string, description?: string, max?: number) => (
    <NumberInput
      {...ORDER}
      label={label}
      description={description}
      min={0}
      max={max}
      clampBehavior="strict"
      allowDecimal={false}
      value={fields[name]}
      onChange={(value) => change({ [name]: typeof value === "number" ? value : "" })}
    />
  );
  return (
    <Fieldset legend={words.groups.machines}>
      <SimpleGrid cols={3} verticalSpacing="md">
        <Select label={w.gpu} data={choices} value={fields.gpu} onChange={(gpu) => change({ gpu: gpu ?? NO_GPU })} allowDeselect={false} />
        {fields.gpu !== NO_GPU && count("max", w.max, most === undefined ? undefined : `${most} ${words.grants}`, most)}
        {fields.gpu !== NO_GPU && count("min", w.min, w.minHint)}
        {count("cpuMax", w.cpuMax)}
        <Switch
          label={w.spot}
          description={w.spotHint}
          checked={fields.spot}
          onChange={(event) => change({ spot: event.currentTarget.checked })}
        />
      </SimpleGrid>
    </Fieldset>
  );
}

function Work({ fields, change }: Part) {
  const w = words.form;
  return (
    <Fieldset legend={words.groups.work}>
      <SimpleGrid cols={3} verticalSpacing="md">
        <NumberInput
          {...ORDER}
          label={w.budget}
          description={w.budgetHint}
          min={1}
          value={fields.budget}
          onChange={(value) => change({ budget: typeof value === "number" ? value : "" })}
        />
        <NumberInput
          {...ORDER}
          label={w.retention}
          description={w.retentionHint}
          min={1}
          allowDecimal={false}
          value={fields.retention}
          onChange={(value) => change({ retention: typeof value === "number" ? value : "" })}
        />
        <TextInput {...ORDER} label={w.address} description={w.addressHint} value={fields.address} onChange={(event) => change({ address: event.currentTarget.value })} />
        <Select label={w.mode} data={[...words.modes]} value={fields.mode} onChange={(mode) => change({ mode: mode ?? "fused" })} allowDeselect={false} />
        {fields.mode === "split" && (
          <Select
            label={w.autoscaling}
            data={[...words.policies]}
            value={fields.autoscaling}
            onChange={(autoscaling) => change({ autoscaling: autoscaling ?? "work" })}
            allowDeselect={false}
          />
        )}
      </SimpleGrid>
    </Fieldset>
  );
}
