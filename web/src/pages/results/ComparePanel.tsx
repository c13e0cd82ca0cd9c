/** Another job's objects over the same image: choose it, and see what differs. */
import { Alert, Button, Checkbox, ColorSwatch, Group, Loader, SegmentedControl, Select, Stack, Switch, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { answer, api, type Job } from "../../api/client";
import { ago, count } from "../../format";
import { f1, type Matched } from "../../viewer/match";
import { COMPARE_MODES, type CompareMode } from "./url";
import type { Blink } from "./useBlink";
import { COMPARE_COLOURS, type Comparison, type Kind } from "./useCompare";
import { compareWords as words, words as page } from "./words";

const LISTED = 200;

interface Properties {
  job: string;
  chosen?: string;
  choose: (job?: string) => void;
  mode: CompareMode;
  setMode: (mode: CompareMode) => void;
  comparison: Comparison;
  objects: number;
  planes: number;
}

export function ComparePanel({ job, chosen, choose, mode, setMode, comparison, objects, planes }: Properties) {
  const jobs = useQuery({
    queryKey: ["jobs", "to compare"],
    queryFn: () => answer(api.GET("/api/v1/jobs", { params: { query: { limit: LISTED } } })),
  });
  const others = (jobs.data?.jobs ?? []).filter((other) => other.id !== job && other.formats.includes("ome-zarr"));
  return (
    <Stack gap="md">
      <Text size="sm">{words.lead}</Text>
      <Select
        size="sm"
        label={words.choose}
        placeholder={jobs.isPending || others.length > 0 ? words.placeholder : words.nothing}
        searchable
        clearable
        data={others.map((other) => ({ value: other.id, label: nameOf(other as Job) }))}
        value={chosen ?? null}
        onChange={(value) => choose(value ?? undefined)}
        comboboxProps={{ width: 320, position: "bottom-end" }}
        disabled={!jobs.isPending && others.length === 0}
      />
      {comparison.state === "ready" && <Mode mode={mode} setMode={setMode} blink={comparison.blink} />}
      <Outcome comparison={comparison} objects={objects} planes={planes} />
      {chosen && (
        <Button variant="default" size="sm" onClick={() => choose(undefined)}>
          {words.stop}
        </Button>
      )}
    </Stack>
  );
}

function Mode({ mode, setMode, blink }: Pick<Properties, "mode" | "setMode"> & { blink: Blink }) {
  return (
    <Stack gap={6}>
      <SegmentedControl
        fullWidth
        size="sm"
        aria-label={words.mode}
        value={mode}
        onChange={(value) => setMode(value as CompareMode)}
        data={COMPARE_MODES.map((value) => ({ value, label: words.modes[value] }))}
      />
      <Text size="xs" c="dimmed">
        {words.modeHints[mode]}
      </Text>
      {mode === "blink" && (
        <Group justify="space-between">
          <Switch
            size="sm"
            label={words.blinking}
            checked={blink.running}
            onChange={(event) => blink.setRunning(event.currentTarget.checked)}
          />
          <SegmentedControl
            size="xs"
            aria-label={words.showing}
            value={blink.other ? "there" : "here"}
            onChange={(value) => blink.show(value === "there")}
            data={[
              { value: "here", label: words.here },
              { value: "there", label: words.there },
            ]}
          />
        </Group>
      )}
    </Stack>
  );
}

function nameOf({ name, id, model, progress }: Job): string {
  return `${name || `${page.unnamed} ${id}`} · ${model.name} · ${ago(progress.submitted_ms)}`;
}

function Outcome({ comparison, objects, planes }: { comparison: Comparison; objects: number; planes: number }) {
  const { state, matched, tooLarge } = comparison;
  if (state === "none") return null;
  if (state === "missing") return <Alert variant="default">{words.noImage}</Alert>;
  if (state === "size") return <Alert variant="default">{words.otherSize}</Alert>;
  if (state === "looking") return <Loading />;
  return (
    <Stack gap="xs">
      {kindsOf(comparison, objects).map(([kind, name, number]) => (
        <Group key={kind} justify="space-between" wrap="nowrap">
          <Checkbox
            size="sm"
            checked={comparison.shown.has(kind)}
            onChange={() => comparison.toggle(kind)}
            label={
              <Group gap={6} wrap="nowrap">
                <ColorSwatch size={14} radius={3} color={`rgb(${COMPARE_COLOURS[kind].join(" ")})`} />
                {name}
              </Group>
            }
          />
          <Text size="sm" fw={600}>
            {number === undefined ? "" : count(number)}
          </Text>
        </Group>
      ))}
      {matched && <Agreement matched={matched} planes={planes} />}
      {tooLarge && (
        <Text size="xs" c="dimmed">
          {words.tooLarge}
        </Text>
      )}
      {!tooLarge && !matched && <Loading />}
    </Stack>
  );
}

/** What each colour means, and how many objects have it. */
function kindsOf({ matched, objects: theirs }: Comparison, objects: number): [Kind, string, number | undefined][] {
  if (!matched) {
    return [
      ["lost", words.here, objects],
      ["added", words.there, theirs],
    ];
  }
  return [
    ["same", words.same, matched.pairs.length],
    ["lost", words.lost, matched.lost.length],
    ["added", words.added, matched.added.length],
  ];
}

function Agreement({ matched, planes }: { matched: Matched; planes: number }) {
  return (
    <>
      <Group justify="space-between">
        <Text size="sm">{words.f1}</Text>
        <Text size="sm" fw={600} data-testid="f1">
          {f1(matched).toFixed(3)}
        </Text>
      </Group>
      <Text size="xs" c="dimmed">
        {words.f1Hint} {planes > 1 && words.plane}
      </Text>
    </>
  );
}

function Loading() {
  return (
    <Group gap="xs">
      <Loader size="xs" />
      <Text size="sm" c="dimmed">
        {words.matching}
      </Text>
    </Group>
  );
}
