/** All that the viewer reads of one image: what became of it, its pixels, labels and table. */
import { useQuery } from "@tanstack/react-query";

import { answer, api } from "../../api/client";
import { token } from "../../api/login";
import { readTable, type Table } from "../../viewer/csv";
import { openMultiscale, type Multiscale } from "../../viewer/zarr";

/** Read what became of one image. */
export const readImage = (job: string, number: number) =>
  answer(api.GET("/api/v1/jobs/{job}/images/{number}", { params: { path: { job, number } } }));

export type Image = Awaited<ReturnType<typeof readImage>>;
export type Record = NonNullable<Image["record"]>;

/** Larger tables are left alone: the browser would hold them whole. */
export const MOST_ROWS = 200_000;
const WAIT_MS = 4_000;

const file = (job: string, path: string) =>
  `/api/v1/jobs/${job}/files/${path.split("/").map(encodeURIComponent).join("/")}`;

export const useImage = (job: string, number: number) =>
  useQuery({
    queryKey: ["image", job, number],
    queryFn: () => readImage(job, number),
    refetchInterval: ({ state }) => (state.data?.status === "waiting" ? WAIT_MS : false),
  });

export const usePixels = (job: string, number: number) =>
  useQuery({
    queryKey: ["pixels", job, number],
    queryFn: () => openMultiscale(`/api/v1/jobs/${job}/images/${number}/pixels`),
    staleTime: Infinity,
    retry: false,
  });

/** The format 0.4 is for other programs: it has codecs that the page does not bring. */
export function useLabels(job: string, record?: Record | null, output: "ome-zarr" | "nuclei-ome-zarr" = "ome-zarr") {
  // Where there are no objects there are no chunks either.
  const objects = output === "ome-zarr" ? record?.objects : record?.nuclei?.objects;
  const folder = objects ? record?.outputs?.[output] : undefined;
  return useQuery({
    queryKey: ["labels", job, folder],
    queryFn: (): Promise<Multiscale> => openMultiscale(`${file(job, folder ?? "")}?missing=204`),
    enabled: Boolean(folder),
    staleTime: Infinity,
    retry: 1,
  });
}

export type TableState = "none" | "large" | "reading" | "ready" | "failed";

export function useTable(job: string, record?: Record | null): { table?: Table; state: TableState } {
  const path = record?.outputs?.csv;
  const large = (record?.objects ?? 0) > MOST_ROWS;
  const { data, isError } = useQuery({
    queryKey: ["table", job, path],
    queryFn: async () => {
      const known = token();
      const response = await fetch(file(job, path ?? ""), known ? { headers: { Authorization: `Bearer ${known}` } } : {});
      if (!response.ok || !response.body) throw new Error(`the table answers ${response.status}`);
      return readTable(response.body);
    },
    enabled: Boolean(path) && !large,
    staleTime: Infinity,
    gcTime: 60_000,
    retry: 1,
  });
  if (!path) return { state: "none" };
  if (large) return { state: "large" };
  if (isError) return { state: "failed" };
  return data ? { table: data, state: "ready" } : { state: "reading" };
}
