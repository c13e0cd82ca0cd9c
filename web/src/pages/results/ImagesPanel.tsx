/** All images of the job, however many: counts, and what is worth a look. */
import { Group, Skeleton, Text, TextInput } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useQueries, type UseQueryResult } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { Link } from "react-router";

import { answer, api } from "../../api/client";
import { outliers, type Flag } from "./outliers";
import css from "./Panel.module.css";
import type { Image } from "./useOpened";
import { imageWords, words } from "./words";

const PAGE = 250;
const ROW = 52;
/** A job of this size is read whole, so that all of it can be searched and compared. */
const READ_WHOLE = 2_000;

/** Pages of images, those that are in sight; a small job whole. */
function usePages(job: string, all: number, seen: number[]) {
  const pages = Math.ceil(all / PAGE);
  const wanted = all <= READ_WHOLE ? Array.from({ length: pages }, (_, page) => page) : seen;
  return useQueries({
    queries: wanted.map((page) => ({
      queryKey: ["images", job, "page", page],
      queryFn: () =>
        answer(
          api.GET("/api/v1/jobs/{job}/images", {
            params: { path: { job }, query: { limit: PAGE, after: page === 0 ? undefined : page * PAGE - 1 } },
          }),
        ),
      staleTime: 15_000,
    })),
    combine: gathered,
  });
}

function gathered(results: UseQueryResult<{ images: Image[] }>[]): Map<number, Image> {
  return new Map(results.flatMap(({ data }) => data?.images.map((image) => [image.number, image] as const) ?? []));
}

export function ImagesPanel({ job, all, current }: { job: string; all: number; current: number }) {
  const [text, setText] = useState("");
  const scroller = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState([Math.floor(current / PAGE)]);
  const images = usePages(job, all, seen);
  const flags = useMemo(() => outliers([...images.values()].filter(({ status }) => status === "done").map(measured)), [images]);
  const found = useMemo(() => {
    if (!text) return undefined;
    const wanted = text.toLowerCase();
    return [...images.values()].filter(({ image }) => image.toLowerCase().includes(wanted)).map(({ number }) => number);
  }, [images, text]);
  // The virtualizer is made to be used so; what it returns is not kept.
  // eslint-disable-next-line react-hooks/incompatible-library
  const rows = useVirtualizer({
    count: found?.length ?? all,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 8,
    initialOffset: Math.max(0, current - 3) * ROW,
    onChange: (list) => {
      const pages = [...new Set(list.getVirtualItems().map(({ index }) => Math.floor(index / PAGE)))];
      setSeen((before) => (pages.every((page) => before.includes(page)) ? before : [...new Set([...before, ...pages])]));
    },
  });
  useEffect(() => {
    if (!text) rows.scrollToIndex(current, { align: "auto" });
    // Only when another image is shown.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [current]);
  return (
    <>
      {all <= READ_WHOLE && all > 8 && (
        <TextInput
          size="sm"
          mb="xs"
          aria-label={imageWords.find}
          placeholder={imageWords.find}
          leftSection={<IconSearch size={15} aria-hidden />}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
        />
      )}
      {found?.length === 0 && (
        <Text size="sm" c="dimmed">
          {imageWords.none}
        </Text>
      )}
      <div ref={scroller} className={css.list} tabIndex={0} role="group" aria-label={imageWords.list}>
        <div className={css.inner} style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map(({ index, start }) => {
            const number = found ? (found[index] ?? 0) : index;
            const image = images.get(number);
            const top = `translateY(${start}px)`;
            if (!image) return <Skeleton key={number} className={css.row} height={ROW - 12} style={{ transform: top }} />;
            return <Row key={number} job={job} image={image} flags={flags.get(number) ?? []} current={number === current} transform={top} />;
          })}
        </div>
      </div>
    </>
  );
}

function measured({ number, record }: Image) {
  const planes = (record?.axes ?? "").split("").map((axis, at) => (axis === "C" || axis === "S" ? 1 : (record?.shape?.[at] ?? 1)));
  return {
    number,
    objects: record?.objects ?? 0,
    pixels: planes.reduce((product, length) => product * length, 1),
    median: record?.median_diameter_px ?? undefined,
  };
}

function Row({ job, image, flags, current, transform }: { job: string; image: Image; flags: Flag[]; current: boolean; transform: string }) {
  return (
    <Link to={`/jobs/${job}/i/${image.number}`} className={css.row} style={{ transform }} aria-current={current}>
      <Text size="sm" fw={current ? 600 : 500} truncate title={image.image}>
        {image.image}
      </Text>
      <Group gap={6} wrap="nowrap">
        <Text size="xs" c="dimmed">
          {image.status === "done" ? words.objects(image.record?.objects ?? 0) : imageWords[image.status]}
        </Text>
        {flags.filter((flag) => flag !== "none").map((flag) => (
          <span key={flag} className={css.flag} title={imageWords.flagHint}>
            <span aria-hidden>⚠</span> {imageWords.flags[flag]}
          </span>
        ))}
      </Group>
    </Link>
  );
}
