/** From images to a job: choose them, see what the model finds in one of them, start. */
import { Alert, Button, Paper, Stack, Text, Title } from "@mantine/core";
import { IconEye } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link } from "react-router";

import { isCalled, models } from "../../api/models";
import { about } from "../../api/queries";
import { Refused } from "../../parts/Refused";
import type { Item } from "../../uploads/draft";
import { useDraft } from "../../uploads/useDraft";
import { BeforeRun } from "./BeforeRun";
import { DropZone } from "./DropZone";
import { asksForChannel, factsOf, openQuestion } from "./facts";
import { Files } from "./Files";
import { Find, sortedByFit } from "./Find";
import { inspect, preview, useLooks, type Look, type Region } from "./looks";
import { PreviewPanel, sizeOf, type Shown } from "./PreviewPanel";
import { Questions } from "./Questions";
import { Samples } from "./Samples";
import css from "./SegmentPage.module.css";
import { specOf, useSettings, type Spec } from "./settings";
import { middle } from "./Square";
import { useAddressed } from "./useAddressed";
import { words } from "./words";

export function SegmentPage() {
  const draft = useDraft();
  const again = useAddressed();
  return (
    <>
      {again && <Refused error={again} />}
      {draft.items.length === 0 ? <Empty /> : <Filled />}
    </>
  );
}

function Empty() {
  const { data: who } = useQuery(about);
  return (
    <Stack gap="xl" className={css.empty}>
      <Title order={2}>{words.title}</Title>
      {who?.role === "viewer" ? (
        <OnlyLooking />
      ) : (
        <>
          <Stack gap="sm">
            <DropZone small={false} />
            <Text size="sm" c="dimmed" ta="center">
              {who && (who.login ? words.data.there(window.location.host) : words.data.here)}
            </Text>
          </Stack>
          <Samples />
        </>
      )}
    </Stack>
  );
}

/** For viewers: what would be refused is not offered. */
function OnlyLooking() {
  return (
    <Paper withBorder p="xl">
      <Stack align="center" gap="md" py="lg">
        <IconEye size={44} stroke={1.3} aria-hidden color="var(--mantine-primary-color-filled)" />
        <Title order={3}>{words.viewer.title}</Title>
        <Text c="dimmed" size="sm" ta="center" maw={460}>
          {words.viewer.text}
        </Text>
        <Button component={Link} to="/jobs">
          {words.viewer.jobs}
        </Button>
      </Stack>
    </Paper>
  );
}

/** Which image is shown, and where; undefined: the first, in its middle. */
interface Choice {
  path?: string;
  image?: string;
  region?: Region;
}

/** The image of the preview: the one that was chosen, else the first that can be read. */
function useShown(items: readonly Item[], looks: Map<string, Look>, axes?: string) {
  const [choice, setChoice] = useState<Choice>({});
  const chosen = (items.find(({ path }) => path === choice.path) ??
    items.find(({ input, state }) => state === "up" && input && looks.get(input)?.data)) as (Item & { input: string }) | undefined;
  const mine = chosen && chosen.path === choice.path ? choice : {};
  const { data, error } = useQuery({ ...inspect(chosen?.input ?? "", mine.image, axes), enabled: chosen !== undefined });
  if (!chosen || !data || error) return { chosen, shown: undefined, setChoice };
  const { width, height } = sizeOf(data);
  const shown: Shown = { input: chosen.input, look: data, region: mine.region ?? middle(width, height) };
  return { chosen, shown, setChoice };
}

/** What the model finds there. */
function useFound(shown: Shown | undefined, spec: Spec | undefined) {
  return useQuery({
    ...preview(shown?.input ?? "", shown?.look.image ?? "", shown?.region, spec as Spec),
    enabled: shown !== undefined && spec !== undefined,
    // Of the same image only: another place may be waited for with the old picture.
    placeholderData: (before, query) => (query?.queryKey[1] === shown?.input ? before : undefined),
  });
}

function Filled() {
  const draft = useDraft();
  const settings = useSettings();
  const { data: who } = useQuery(about);
  const { data: list } = useQuery(models);
  const looks = useLooks(draft.items, settings.axes);
  const facts = useMemo(() => factsOf(draft.items, looks), [draft.items, looks]);
  const sorted = useMemo(
    () => sortedByFit(list?.models ?? [], facts.channelNames.length, settings.model),
    [list, facts.channelNames.length, settings.model],
  );
  const model = sorted.find((one) => isCalled(one, settings.model)) ?? sorted[0];
  const spec = model && specOf(settings, model);

  const { chosen, shown, setChoice } = useShown(draft.items, looks, settings.axes);
  const found = useFound(shown, spec);
  const micronsPerPixel = settings.micronsPerPixel ?? shown?.look.microns_per_pixel ?? undefined;
  const viewer = who?.role === "viewer";
  const question = openQuestion(draft, facts, found.error, viewer);
  const soon = draft.items.some(({ state, input }) => state === "up" && input && !looks.has(input));
  return (
    <div className={css.grid}>
        <Stack gap="md">
          <Title order={2}>{words.title}</Title>
          {viewer ? <Alert color="gray">{words.viewer.text}</Alert> : <DropZone small />}
          <Files draft={draft} facts={facts} chosen={chosen} choose={(path) => setChoice({ path })}>
            <Questions draft={draft} facts={facts} looks={looks} />
          </Files>
          <Find
            list={sorted}
            model={model}
            channelNames={(shown?.look.channel_names.length ?? 0) > 1 ? (shown as Shown).look.channel_names : facts.channelNames}
            asked={asksForChannel(found.error)}
          />
        </Stack>
        <Stack gap="md" className={css.aside}>
          <PreviewPanel
            shown={shown}
            soon={soon}
            found={found}
            models={sorted}
            micronsPerPixel={micronsPerPixel}
            moved={(region) => setChoice({ path: chosen?.path, image: shown?.look.image, region })}
            chooseImage={(name) => setChoice({ path: chosen?.path, image: name })}
          />
          <BeforeRun draft={draft} facts={facts} model={model} spec={spec} preview={found.data} question={question} />
        </Stack>
    </div>
  );
}
