/** One image of a job with its objects: opens all that is needed, and leads to the next. */
import { ActionIcon, Alert, Anchor, Button, Center, CopyButton, Group, Loader, Stack, Text, Title, Tooltip } from "@mantine/core";
import { IconArrowLeft, IconChevronLeft, IconChevronRight, IconLink } from "@tabler/icons-react";
import { useEffect, useRef, useState } from "react";
import { Link, useNavigate, useParams } from "react-router";

import { useJob } from "../../api/useJob";
import { Refused } from "../../parts/Refused";
import { Notices } from "./Notices";
import { useImage, useLabels, usePixels, useTable } from "./useOpened";
import { FIRST_STYLE, type Style } from "./useView";
import { fromHash } from "./url";
import { stateWords, words } from "./words";
import { Workbench } from "./Workbench";
import css from "./Workbench.module.css";

/** The address tells how the first image looks; the next ones look alike. */
function firstStyle(): Style {
  const { outlines, fill, colourBy, column, compare, pinned } = fromHash(window.location.hash);
  const tab = compare ? "compare" : pinned ? "measure" : FIRST_STYLE.tab;
  return { tab, outlines: outlines ?? FIRST_STYLE.outlines, fill: fill ?? FIRST_STYLE.fill, colourBy, column };
}

export function ResultsPage() {
  const { job: id = "", number: text = "0" } = useParams();
  const number = Number(text);
  const go = useNavigate();
  const [style, setWholeStyle] = useState(firstStyle);
  const setStyle = (change: Partial<Style>) => setWholeStyle((before) => ({ ...before, ...change }));
  const typed = useTypedAddress(() => setWholeStyle(firstStyle()));
  const { job } = useJob(id);
  const image = useImage(id, number);
  const pixels = usePixels(id, number);
  const record = image.data?.record;
  const labels = useLabels(id, record);
  const { table, state } = useTable(id, record);
  const link = useRef(() => window.location.href);
  const all = job?.progress.images ?? 0;
  const to = (there: number) => (there >= 0 && there < all ? () => void go(`/jobs/${id}/i/${there}`) : undefined);
  const [previous, next] = [to(number - 1), to(number + 1)];
  if (image.error && !image.data) return <Refused error={image.error} again={() => void image.refetch()} />;
  const wanted = Boolean(record?.outputs?.["ome-zarr"]);
  const ready = job && image.data && pixels.data && (!wanted || labels.data || labels.isError);
  return (
    <div className={css.page}>
      <header className={css.top}>
        <Anchor component={Link} to={`/jobs/${id}`} size="sm" title={words.back} aria-label={words.back}>
          <Group gap={4} wrap="nowrap">
            <IconArrowLeft size={14} aria-hidden />
            <Text span size="sm" truncate maw={200}>
              {job?.name || `${words.unnamed} ${id}`}
            </Text>
          </Group>
        </Anchor>
        <Group gap="sm" className={css.name} wrap="nowrap">
          <Title order={2} size="h5" className={css.long} title={image.data?.image}>
            {image.data?.image ?? ""}
          </Title>
          {image.data?.status === "done" && (
            <Text size="sm" c="dimmed" className={css.fixed}>
              {words.objects(record?.objects ?? 0)}
              {pixels.data && !pixels.data.micronsPerPixel && ` · ${words.noPixelSize}`}
            </Text>
          )}
        </Group>
        <CopyLink link={() => link.current()} />
        <Step name={words.previous} act={previous} icon={<IconChevronLeft size={18} aria-hidden />} />
        <Text size="sm" c="dimmed" className={css.fixed}>
          {all > 0 && words.place(number + 1, all)}
        </Text>
        <Step name={words.next} act={next} icon={<IconChevronRight size={18} aria-hidden />} />
      </header>
      {ready && image.data && pixels.data ? (
        <Workbench
          key={`${id}/${number}/${typed}`}
          job={job}
          image={image.data}
          pixels={pixels.data}
          labels={labels.data}
          table={table}
          tableState={state}
          style={style}
          setStyle={setStyle}
          previous={previous}
          next={next}
          onLink={(made) => {
            link.current = made;
          }}
        />
      ) : (
        <Center flex={1} p="lg">
          {pixels.error ? (
            <Stack maw={560}>
              {image.data && <Notices job={id} image={image.data} table={state} />}
              {image.data?.status !== "failed" && (
                <Alert color="red" title={stateWords.noPixels}>
                  {pixels.error.message}
                </Alert>
              )}
            </Stack>
          ) : (
            <Stack align="center" gap="sm">
              <Loader />
              <Text c="dimmed" size="sm">
                {words.loading}
              </Text>
            </Stack>
          )}
        </Center>
      )}
    </div>
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
