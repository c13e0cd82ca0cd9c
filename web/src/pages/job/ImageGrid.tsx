/** The images of a job as pictures with outlines; any number of them, loaded as they come into sight. */
import { Badge, SimpleGrid, Text, Title } from "@mantine/core";
import { useIntersection } from "@mantine/hooks";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link } from "react-router";

import { answer, api, type Job, type Schemas } from "../../api/client";
import { token } from "../../api/login";
import { hasEnded } from "../../api/useJob";
import { counted } from "../../format";
import css from "./ImageGrid.module.css";
import { words } from "./words";

const PAGE = 60;

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
  const { ref, entry } = useIntersection<HTMLDivElement>({ rootMargin: "600px" });
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = list;
  useEffect(() => {
    if (entry?.isIntersecting && hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [entry, hasNextPage, isFetchingNextPage, fetchNextPage]);
  const images = list.data?.pages.flatMap((page) => page.images) ?? [];
  if (images.length === 0) return null;
  return (
    <section>
      <Title order={3} size="h4" mb="sm">
        {words.done}
      </Title>
      <SimpleGrid cols={{ base: 2, sm: 3, md: 4, lg: 5 }}>
        {images.map((image) => (
          <Card key={image.number} job={job.id} image={image} />
        ))}
      </SimpleGrid>
      <div ref={ref} className={css.end} />
    </section>
  );
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
