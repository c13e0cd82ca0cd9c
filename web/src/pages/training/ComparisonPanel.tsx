/** The new model beside a published one, on the images that neither was shown while the new one learnt. */
import { Alert, Group, Loader, Paper, Spoiler, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import type { Schemas } from "../../api/client";
import { Refused, sentence } from "../../parts/Refused";
import { PresentModel } from "./PresentModel";
import { comparison, type Run } from "./queries";
import css from "./Training.module.css";
import { words } from "./words";

type Result = Schemas["ComparedObjects"];
type Measure = keyof typeof words.comparison.measures;
const MEASURES = Object.keys(words.comparison.measures) as Measure[];
/** Less is chance. */
const WORTH_SAYING = 0.002;

export function ComparisonPanel({ run }: { run: Run }) {
  const [model, setModel] = useState<string>();
  const asked = useQuery(comparison(run.id, model));
  return (
    <Paper withBorder component="section" p="lg" aria-label={words.comparison.title}>
      <Stack gap="md">
        <Group justify="space-between" align="end">
          <div>
            <Title order={3} size="h5">
              {words.comparison.title}
            </Title>
            <Text size="sm" c="dimmed">
              {words.comparison.lead(words.facts.images(run.data?.validation_images ?? 0))}
            </Text>
          </div>
          <PresentModel aria-label={words.comparison.with} value={model ?? asked.data?.present.name} choose={setModel} />
        </Group>
        {asked.error && <Refused error={asked.error} />}
        {asked.isPending && <Making />}
        {asked.data && <Outcome found={asked.data} />}
      </Stack>
    </Paper>
  );
}

function Making() {
  return (
    <Group gap="sm" role="status">
      <Loader size="sm" />
      <Text>{words.comparison.waiting}</Text>
    </Group>
  );
}

function Outcome({ found: { state, present, results, problem } }: { found: Schemas["Comparison"] }) {
  if (state === "queued") return <Making />;
  if (problem) {
    return (
      <Alert color="red" title={sentence(problem.what, problem.where)}>
        {problem.action} [{problem.code}]
      </Alert>
    );
  }
  return results.map((result) => (
    <Compared key={result.compartment} result={result} present={`${present.name} ${present.version}`} several={results.length > 1} />
  ));
}

function Compared({ result, present, several }: { result: Result; present: string; several: boolean }) {
  const { measures, columns, compartments } = words.comparison;
  return (
    <Stack gap="sm">
      {several && <Title order={4}>{compartments[result.compartment]}</Title>}
      <Text fw={500}>{verdict(result)}</Text>
      <Table maw={560}>
        <Table.Thead>
          <Table.Tr>
            <Table.Td />
            <Table.Th ta="right">{columns.new}</Table.Th>
            <Table.Th ta="right">{present}</Table.Th>
            <Table.Th ta="right">{columns.change}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {MEASURES.map((measure) => (
            <Table.Tr key={measure}>
              <Table.Th scope="row" fw={400}>
                {measures[measure]}
              </Table.Th>
              <Table.Td ta="right">{score(result.new[measure])}</Table.Td>
              <Table.Td ta="right">{score(result.present[measure])}</Table.Td>
              <Table.Td ta="right">{change(result.new[measure], result.present[measure])}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Spoiler maxHeight={0} showLabel={words.comparison.images} hideLabel={words.comparison.lessImages}>
        <Images result={result} present={present} />
      </Spoiler>
    </Stack>
  );
}

/** The images by what was lost or won, the worst first: these are worth a look. */
function Images({ result, present }: { result: Result; present: string }) {
  const won = ({ new: now, present: before }: Result["images"][number]) => (now.f1 ?? 0) - (before.f1 ?? 0);
  const { image, objects, columns } = words.comparison;
  return (
    <div className={css.wide}>
      <Table maw={760}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{image}</Table.Th>
            <Table.Th ta="right">{objects}</Table.Th>
            <Table.Th ta="right">F1 {columns.new}</Table.Th>
            <Table.Th ta="right">F1 {present}</Table.Th>
            <Table.Th ta="right">{columns.change}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {[...result.images].sort((a, b) => won(a) - won(b)).map((one) => (
            <Table.Tr key={one.image}>
              <Table.Td className={css.name}>
                <Text size="sm" truncate title={one.image}>
                  {one.image}
                </Text>
              </Table.Td>
              <Table.Td ta="right">{one.objects}</Table.Td>
              <Table.Td ta="right">{score(one.new.f1)}</Table.Td>
              <Table.Td ta="right">{score(one.present.f1)}</Table.Td>
              <Table.Td ta="right">{change(one.new.f1, one.present.f1)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

const score = (value: number | null) => value?.toFixed(3) ?? "–";

function change(now: number | null, before: number | null): string {
  if (now === null || before === null) return "–";
  const by = now - before;
  return `${by < 0 ? "−" : "+"}${Math.abs(by).toFixed(3)}`;
}

function verdict({ new: now, present }: Result): string {
  const by = (now.f1 ?? 0) + (now.mean_ap ?? 0) - (present.f1 ?? 0) - (present.mean_ap ?? 0);
  if (Math.abs(by) < WORTH_SAYING) return words.comparison.same;
  return by > 0 ? words.comparison.better : words.comparison.worse;
}
