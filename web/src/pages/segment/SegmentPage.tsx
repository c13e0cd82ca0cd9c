/** From images to a job: choose them, see what the model finds in one of them, start. */
import { Stack, Text, Title } from "@mantine/core";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";

import { about } from "../../api/queries";
import { useDraft } from "../../uploads/useDraft";
import { BeforeRun } from "./BeforeRun";
import { DropZone } from "./DropZone";
import { asksForChannel, factsOf, openQuestion } from "./facts";
import { Files } from "./Files";
import { Find, models, sortedByFit } from "./Find";
import { inspect, preview, useLooks, type Region } from "./looks";
import { PreviewPanel, sizeOf, type Shown } from "./PreviewPanel";
import { Questions } from "./Questions";
import { Samples } from "./Samples";
import css from "./SegmentPage.module.css";
import { specOf, useSettings } from "./settings";
import { middle } from "./Square";
import { useAddressed } from "./useAddressed";
import { words } from "./words";

export function SegmentPage() {
  const draft = useDraft();
  useAddressed();
  return draft.items.length === 0 ? <Empty /> : <Filled />;
}

function Empty() {
  const { data: who } = useQuery(about);
  return (
    <Stack gap="xl" className={css.empty}>
      <Title order={2}>{words.title}</Title>
      <Stack gap="sm">
        <DropZone small={false} />
        <Text size="sm" c="dimmed" ta="center">
          {who && (who.login ? words.data.there(window.location.host) : words.data.here)}
        </Text>
      </Stack>
      <Samples />
    </Stack>
  );
}

/** Which image is shown, and where; undefined: the first, in its middle. */
interface Choice {
  path?: string;
  image?: string;
  region?: Region;
}

function Filled() {
  const draft = useDraft();
  const settings = useSettings();
  const { data: who } = useQuery(about);
  const { data: list } = useQuery(models);
  const looks = useLooks(draft.items, settings.axes);
  const facts = useMemo(() => factsOf(draft.items, looks), [draft.items, looks]);
  const sorted = useMemo(() => sortedByFit(list?.models ?? [], facts.channelNames.length), [list, facts.channelNames.length]);
  const model = sorted.find(({ name }) => name === settings.model) ?? sorted[0];
  const spec = model && specOf(settings, model);

  const [choice, setChoice] = useState<Choice>({});
  const chosen = draft.items.find(({ path, state }) => path === choice.path && state === "up") ??
    draft.items.find(({ input, state }) => state === "up" && input && looks.get(input)?.data);
  const image = chosen?.path === choice.path ? choice.image : undefined;
  const look = useQuery({ ...inspect(chosen?.input ?? "", image, settings.axes), enabled: chosen !== undefined, placeholderData: keepPreviousData });
  let shown: Shown | undefined;
  if (chosen?.input && look.data && !look.error) {
    const { width, height } = sizeOf(look.data);
    shown = { input: chosen.input, look: look.data, region: choice.region ?? middle(width, height) };
  }
  const found = useQuery({
    ...preview(shown?.input ?? "", shown?.look.image ?? "", shown?.region, spec as NonNullable<typeof spec>),
    enabled: shown !== undefined && spec !== undefined && !look.isPlaceholderData,
    placeholderData: keepPreviousData,
  });
  const micronsPerPixel = settings.micronsPerPixel ?? look.data?.microns_per_pixel ?? undefined;
  const question = openQuestion(draft, facts, found.error, who?.role === "viewer");
  const soon = draft.items.some(({ state, input }) => state === "up" && input && !looks.has(input));
  return (
    <Stack gap="md">
      <div className={css.grid}>
        <Stack gap="md">
          <Title order={2}>{words.title}</Title>
          <DropZone small />
          <Files draft={draft} facts={facts} chosen={chosen} choose={(path) => setChoice({ path })}>
            <Questions draft={draft} facts={facts} looks={looks} />
          </Files>
          <Find list={sorted} model={model} channelNames={facts.channelNames} asked={asksForChannel(found.error)} />
        </Stack>
        <Stack gap="md" className={css.side}>
          <PreviewPanel
            shown={shown}
            soon={soon}
            found={found}
            models={sorted}
            micronsPerPixel={micronsPerPixel}
            moved={(region) => setChoice({ path: chosen?.path, image, region })}
            chooseImage={(name) => setChoice({ path: chosen?.path, image: name })}
          />
          <BeforeRun draft={draft} facts={facts} spec={spec} preview={found.data} question={question} />
        </Stack>
      </div>
    </Stack>
  );
}
