/** The images of a job as pictures with outlines; any number of them, loaded as they come into sight. */
import { Badge, Text, Title } from "@mantine/core";
import { useElementSize, useIntersection } from "@mantine/hooks";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { Link } from "react-router";

import { answer, api, type Job, type Schemas } from "../../api/client";
import { token } from "../../api/login";
import { hasEnded } from "../../api/useJob";
import { counted } from "../../format";
import css from "./ImageGrid.module.css";
import { words } from "./words";

const PAGE = 120;
/** px; as many cards stand beside each other as have it. */
const LEAST_WIDTH = 190;
const MOST_COLUMNS = 5;
const GAP = 16;
/** Of a card beside its picture, px: two lines of text, and its border. */
const TEXT_HEIGHT = 68;

export function ImageGrid({ job }: { job: Job }) {
  // What the list held while the job ran is not all of it: at the end it is asked for once more.
  const state = hasEnded(job) ? job.progress.images_done : "running";
  const list = useInfiniteQuery({
    queryKey: ["images", job.id, "done", state],
    queryFn: ({ pageParam }) =>
      answer(
        api.GET("/api/v1/jobs/{job}/images", {
          params: { path: { job: job.id }, query: { status: "done", limit: PAGE, after: pageParam } },
        }),
      ),
    initialPageParam: undefined as number | undefined,
    placeholderData: keepPreviousData,
    getNextPageParam: (page) => page.after ?? undefined,
    refetchInterval: hasEnded(job) ? false : 4_000,
  });
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = list;
  const images = useMemo(() => list.data?.pages.flatMap((page) => page.images) ?? [], [list.data]);
  if (images.length === 0) return null;
  return (
    <section>
      <Title order={3} size="h4" mb="sm">
        {words.done}
      </Title>
      <Cards
        job={job.id}
        images={images}
        atEnd={() => {
          if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
        }}
      />
    </section>
  );
}

/** Only the rows that are in sight, or nearly so, are in the page. */
function Cards({ job, images, atEnd }: { job: string; images: Shown[]; atEnd: () => void }) {
  const { ref, width } = useElementSize<HTMLDivElement>();
  const [frame, top] = useTop();
  const columns = Math.max(2, Math.min(MOST_COLUMNS, Math.floor((width + GAP) / (LEAST_WIDTH + GAP))));
  const height = Math.round(((width - GAP * (columns - 1)) / columns - 18) * 0.75) + TEXT_HEIGHT + GAP;
  const rows = useWindowVirtualizer({
    count: width > 0 ? Math.ceil(images.length / columns) : 0,
    estimateSize: () => height,
    overscan: 3,
    scrollMargin: top,
  });
  useEffect(() => rows.measure(), [rows, height]);
  const items = rows.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  const ended = width > 0 && (last + 2) * columns >= images.length;
  useEffect(() => {
    if (ended) atEnd();
  }, [ended, atEnd]);
  return (
    <div ref={frame}>
      <div ref={ref} className={css.cards} style={{ height: rows.getTotalSize() }}>
        {items.map(({ index, start }) => (
          <div
            key={index}
            className={css.row}
            style={{ transform: `translateY(${start - top}px)`, gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`, gap: GAP }}
          >
            {images.slice(index * columns, (index + 1) * columns).map((image) => (
              <Card key={image.number} job={job} image={image} />
            ))}
          </div>
        ))}
      </div>
    </div>
  );
}

/** How far below the top of the page an element begins, px: what stands above it may grow or go. */
function useTop() {
  const frame = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  useEffect(() => {
    const look = () => setTop(Math.round((frame.current?.getBoundingClientRect().top ?? 0) + window.scrollY));
    const watch = new ResizeObserver(look);
    watch.observe(document.body);
    return () => watch.disconnect();
  }, []);
  return [frame, top] as const;
}

type Shown = Pick<Schemas["JobImage"], "number" | "image"> & { record?: { objects?: number; notices?: unknown[] } | null };

function Card({ job, image }: { job: string; image: Shown }) {
  const objects = image.record?.objects ?? 0;
  const notices = image.record?.notices?.length ?? 0;
  return (
    <Link to={`/jobs/${job}/i/${image.number}`} className={css.card}>
      <Thumbnail job={job} number={image.number} />
      <Text size="sm" fw={500} truncate title={image.image}>
        {image.image}
      </Text>
      <Text size="xs" c="dimmed">
        {objects ? counted(objects, "object") : words.noObjects}{" "}
        {notices > 0 && (
          <Badge size="xs" variant="light" color="yellow" tt="none" c="var(--mantine-color-text)">
            {counted(notices, "notice")}
          </Badge>
        )}
      </Text>
    </Link>
  );
}

/** A picture that may need the token: then it is fetched, and shown from memory. */
function Thumbnail({ job, number }: { job: string; number: number }) {
  const plain = `/api/v1/jobs/${job}/images/${number}/thumbnail`;
  const guarded = token() !== "";
  const { ref, entry } = useIntersection<HTMLDivElement>({ rootMargin: "300px" });
  const [seen, setSeen] = useState(false);
  if (entry?.isIntersecting && !seen) setSeen(true); // and so it stays
  const { data } = useQuery({
    queryKey: ["thumbnail", job, number],
    queryFn: async () => URL.createObjectURL(await (await fetch(plain, { headers: { Authorization: `Bearer ${token()}` } })).blob()),
    enabled: guarded && seen,
    staleTime: Infinity,
  });
  const source = guarded ? data : plain;
  return (
    <div ref={ref} className={css.picture}>
      {seen && source && <img src={source} alt="" loading="lazy" decoding="async" />}
    </div>
  );
}
