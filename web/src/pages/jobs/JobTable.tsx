/** A table of jobs that holds only the rows that are seen. */
import { Progress, Text } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef } from "react";
import { Link } from "react-router";

import type { Job } from "../../api/client";
import { ago, count } from "../../format";
import { StateBadge } from "../../parts/StateBadge";
import css from "./JobTable.module.css";
import { words } from "./words";

const ROW_PX = 52;

interface Properties {
  jobs: Job[];
  owners?: boolean;
  /** Called when the last row comes into sight. */
  atEnd: () => void;
}

export function JobTable({ jobs, owners = false, atEnd }: Properties) {
  const frame = useRef<HTMLDivElement>(null);
  // The library's object changes with every render; nothing here is memoised over it.
  // eslint-disable-next-line react-hooks/incompatible-library
  const rows = useVirtualizer({ count: jobs.length, getScrollElement: () => frame.current, estimateSize: () => ROW_PX, overscan: 8 });
  const items = rows.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (last >= jobs.length - 1) atEnd();
  }, [last, jobs.length, atEnd]);
  return (
    <div ref={frame} className={css.frame} role="table" aria-label={words.title} aria-rowcount={jobs.length + 1}>
      <div className={css.head} role="row" data-owners={owners || undefined}>
        {Object.entries(words.columns).map(([key, name]) =>
          key === "owner" && !owners ? null : (
            <span key={key} role="columnheader">
              {name}
            </span>
          ),
        )}
      </div>
      <div className={css.body} role="rowgroup" style={{ height: rows.getTotalSize() }}>
        {items.map(({ index, start }) => {
          const job = jobs[index];
          return job && <Row key={job.id} job={job} owners={owners} top={start} number={index + 2} />;
        })}
      </div>
    </div>
  );
}

function Row({ job, owners, top, number }: { job: Job; owners: boolean; top: number; number: number }) {
  const { images, images_done: done, images_failed: failed, objects, submitted_ms: at } = job.progress;
  const name = job.name || `${words.unnamed} ${job.id}`;
  return (
    <Link
      to={`/jobs/${job.id}`}
      role="row"
      aria-rowindex={number}
      className={css.row}
      data-owners={owners || undefined}
      style={{ transform: `translateY(${top}px)` }}
    >
      <span role="cell" className={css.name} title={name}>
        {name}
      </span>
      <span role="cell">
        <StateBadge job={job} />
      </span>
      <span role="cell">
        <Text size="sm">
          {count(done)} / {count(images)}
          {failed > 0 && (
            <Text span c="red" size="sm">
              {" "}
              · {count(failed)} failed
            </Text>
          )}
        </Text>
        <Progress.Root size={4} mt={4} aria-hidden>
          <Progress.Section value={images ? (100 * done) / images : 0} />
          <Progress.Section value={images ? (100 * failed) / images : 0} color="red" />
        </Progress.Root>
      </span>
      <span role="cell">{job.segment.top ? "–" : count(objects)}</span>
      <span role="cell" className={css.name} title={`${job.model.name} ${job.model.version}`}>
        {job.model.name}
      </span>
      {owners && (
        <span role="cell" className={css.name}>
          {job.owner}
        </span>
      )}
      <span role="cell">{ago(at)}</span>
    </Link>
  );
}
