/** One image of a job with its objects. */
import { Loader } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useParams } from "react-router";

import { answer, api } from "../../api/client";
import { colourOfLabel } from "../../viewer/paint";
import { Viewer, type ChannelLook } from "../../viewer/Viewer";
import { openMultiscale } from "../../viewer/zarr";
import css from "./ResultsPage.module.css";

export function ResultsPage() {
  const { job = "", number = "0" } = useParams();
  const image = useQuery({
    queryKey: ["image", job, number],
    queryFn: () =>
      answer(api.GET("/api/v1/jobs/{job}/images/{number}", { params: { path: { job, number: Number(number) } } })),
  });
  const pixels = useQuery({
    queryKey: ["pixels", job, number],
    queryFn: () => openMultiscale(`/api/v1/jobs/${job}/images/${number}/pixels`),
    staleTime: Infinity,
  });
  const folder = image.data?.record?.outputs?.["ome-zarr"];
  const labels = useQuery({
    queryKey: ["labels", job, number, folder],
    queryFn: () => openMultiscale(`/api/v1/jobs/${job}/files/${encodeURI(folder ?? "")}`),
    enabled: Boolean(folder),
    staleTime: Infinity,
  });
  const channels = useMemo<ChannelLook[]>(
    () =>
      (pixels.data?.channels ?? []).map(({ color, window }) => ({
        visible: true,
        colour: [0, 2, 4].map((at) => parseInt(color.slice(at, at + 2), 16)) as [number, number, number],
        window: [window.start, window.end],
      })),
    [pixels.data],
  );
  const look = useMemo(() => ({ outlines: true, fill: true, opacity: 0.25, colour: colourOfLabel }), []);
  const selection = useMemo(() => ({ t: 0, z: 0 }), []);
  if (!pixels.data) return <Loader />;
  return (
    <div className={css.canvas}>
      <Viewer image={pixels.data} labels={labels.data} channels={channels} look={look} lookKey="a" selection={selection} />
    </div>
  );
}
