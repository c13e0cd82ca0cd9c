/** One image of a job with its objects: opens all that is needed, and leads to the next. */
import { ActionIcon, Alert, Anchor, Button, Center, CopyButton, Group, Loader, Stack, Text, Title, Tooltip } from "@mantine/core";
import { IconArrowLeft, IconChevronLeft, IconChevronRight, IconLink } from "@tabler/icons-react";
import { useEffect, useRef, useState } from "react";
import { Link, useNavigate, useParams } from "react-router";

import type { Job } from "../../api/client";
import { useJob } from "../../api/useJob";
import { Refused } from "../../parts/Refused";
import type { Multiscale } from "../../viewer/zarr";
import { Notices } from "./Notices";
import { useImage, useLabels, usePixels, useTable, type Image, type TableState } from "./useOpened";
import { FIRST_STYLE, type Style } from "./useView";
import { fromHash } from "./url";
import { stateWords, words } from "./words";
import { Workbench } from "./Workbench";
import css from "./Workbench.module.css";

/** The address tells how the first image looks; the next ones look alike. */
function firstStyle(): Style {
  const { outlines, nuclei, fill, colourBy, column, compare, mode, pinned } = fromHash(window.location.hash);
  const tab = compare ? "compare" : pinned ? "measure" : FIRST_STYLE.tab;
  const compareMode = mode ?? FIRST_STYLE.compareMode;
  const look = { outlines: outlines ?? FIRST_STYLE.outlines, nuclei: nuclei ?? FIRST_STYLE.nuclei, fill: fill ?? FIRST_STYLE.fill, colourBy, column };
  return { ...FIRST_STYLE, ...look, tab, compare, compareMode };
}

export function ResultsPage() {
  const { job: id = "", number: text = "0" } = useParams();
  const number = Number(text);
  const [style, setWholeStyle] = useState(firstStyle);
  const setStyle = (change: Partial<Style>) => setWholeStyle((before) => ({ ...before, ...change }));
  const typed = useTypedAddress(() => setWholeStyle(firstStyle()));
  const opened = useOpened(id, number);
  const { job, image, pixels, labels, nuclei, table, ready } = opened;
  const link = useRef(() => window.location.href);
  const steps = useSteps(id, number, job?.progress.images ?? 0);
  if (image.error && !image.data) return <Refused error={image.error} again={() => void image.refetch()} />;
  return (
    <div className={css.page}>
      <Top job={job} id={id} number={number} image={image.data} pixels={pixels.data} steps={steps} link={() => link.current()} />
      {ready && job && image.data && pixels.data ? (
        <Workbench
          key={`${id}/${number}/${typed}`}
          job={job}
          image={image.data}
          pixels={pixels.data}
          labels={labels.data}
          nuclei={nuclei.data}
          table={table.table}
          tableState={table.state}
          style={style}
          setStyle={setStyle}
          {...steps}
          onLink={(made) => {
            link.current = made;
          }}
        />
      ) : (
        <Center flex={1} p="lg">
          <NotOpen id={id} image={image.data} error={pixels.error} table={table.state} />
        </Center>
      )}
    </div>
  );
}

function useOpened(id: string, number: number) {
  const { job } = useJob(id);
  const image = useImage(id, number);
  const pixels = usePixels(id, number);
  const record = image.data?.record;
  const labels = useLabels(id, record);
  const nuclei = useLabels(id, record, "nuclei-ome-zarr");
  const table = useTable(id, record);
  const wanted = Boolean(record?.objects && record.outputs?.["ome-zarr"]);
  const ready = Boolean(job && image.data && pixels.data) && (!wanted || Boolean(labels.data) || labels.isError);
  return { job, image, pixels, labels, nuclei, table, ready };
}

interface Steps {
  previous?: () => void;
  next?: () => void;
}

function useSteps(id: string, number: number, all: number): Steps {
  const go = useNavigate();
  const to = (there: number) => (there >= 0 && there < all ? () => void go(`/jobs/${id}/i/${there}`) : undefined);
  return { previous: to(number - 1), next: to(number + 1) };
}

interface TopProperties {
  id: string;
  number: number;
  job?: Job;
  image?: Image;
  pixels?: Multiscale;
  steps: Steps;
  link: () => string;
}

function Top({ id, number, job, image, pixels, steps, link }: TopProperties) {
  const all = job?.progress.images ?? 0;
  return (
    <header className={css.top}>
      <Anchor component={Link} to={`/jobs/${id}`} size="sm" title={words.back}>
        <Group gap={4} wrap="nowrap">
          <IconArrowLeft size={14} aria-hidden />
          <Text span size="sm" truncate maw={200}>
            {job?.name || `${words.unnamed} ${id}`}
          </Text>
        </Group>
      </Anchor>
      <Name image={image} pixels={pixels} />
      <CopyLink link={link} />
      <Step name={words.previous} act={steps.previous} icon={<IconChevronLeft size={18} aria-hidden />} />
      <Text size="sm" c="dimmed" className={css.fixed}>
        {all > 0 && words.place(number + 1, all)}
      </Text>
      <Step name={words.next} act={steps.next} icon={<IconChevronRight size={18} aria-hidden />} />
    </header>
  );
}

function Name({ image, pixels }: { image?: Image; pixels?: Multiscale }) {
  const unknown = pixels && !pixels.micronsPerPixel ? ` · ${words.noPixelSize}` : "";
  return (
    <Group gap="sm" className={css.name} wrap="nowrap">
      <Title order={2} size="h5" className={css.long} title={image?.image}>
        {image?.image ?? words.loading}
      </Title>
      {image?.status === "done" && (
        <Text size="sm" c="dimmed" className={css.fixed}>
          {words.objects(image.record?.objects ?? 0)}
          {unknown}
        </Text>
      )}
    </Group>
  );
}

/** While it opens, or when the pixels cannot be had. */
function NotOpen({ id, image, error, table }: { id: string; image?: Image; error: Error | null; table: TableState }) {
  if (!error) {
    return (
      <Stack align="center" gap="sm" role="status">
        <Loader />
        <Text c="dimmed" size="sm">
          {words.loading}
        </Text>
      </Stack>
    );
  }
  return (
    <Stack maw={560}>
      {image && <Notices job={id} image={image} table={table} />}
      {image?.status !== "failed" && (
        <Alert color="red" title={stateWords.noPixels}>
          {stateWords.noPixelsText}
        </Alert>
      )}
    </Stack>
  );
}

/** Counts addresses that were pasted while the page was open: each begins anew. */
function useTypedAddress(begin: () => void): number {
  const [typed, setTyped] = useState(0);
  const latest = useRef(begin);
  useEffect(() => {
    latest.current = begin;
  });
  useEffect(() => {
    const changed = () => {
      latest.current();
      setTyped((before) => before + 1);
    };
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, []);
  return typed;
}

function CopyLink({ link }: { link: () => string }) {
  const [value, setValue] = useState("");
  return (
    <CopyButton value={value}>
      {({ copied, copy }) => (
        <Button
          size="compact-sm"
          variant="default"
          leftSection={<IconLink size={15} aria-hidden />}
          onPointerDown={() => setValue(link())}
          onFocus={() => setValue(link())}
          onClick={copy}
        >
          {copied ? words.copied : words.copyLink}
        </Button>
      )}
    </CopyButton>
  );
}

function Step({ name, act, icon }: { name: string; act?: () => void; icon: React.ReactNode }) {
  return (
    <Tooltip label={name}>
      <ActionIcon variant="default" size={30} onClick={act} disabled={!act} aria-label={name}>
        {icon}
      </ActionIcon>
    </Tooltip>
  );
}
