/** A region of an image with the outlines of the objects in it. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, type CSSProperties } from "react";

import { colourOfLabel, paint } from "../../viewer/paint";
import type { Preview } from "./looks";
import { bytesOf, decodeLabels } from "./png16";
import css from "./Preview.module.css";
import { words } from "./words";

export function Outlined({ preview, outlines }: { preview: Preview; outlines: boolean }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { data: labels } = useQuery({
    queryKey: ["labels", preview.labels],
    queryKeyHashFn: () => `labels ${preview.labels.length} ${preview.labels.slice(-400)}`,
    queryFn: () => decodeLabels(bytesOf(preview.labels)),
    staleTime: Infinity,
    gcTime: 60_000,
  });
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !labels) return;
    const { width, height, data } = labels;
    const pixels = paint(data, width, height, { outlines, fill: outlines, opacity: 0.18, colour: colourOfLabel });
    context.canvas.width = width;
    context.canvas.height = height;
    context.putImageData(new ImageData(pixels, width, height), 0, 0);
  }, [labels, outlines]);
  const { width, height } = preview.region;
  return (
    <div className={css.picture} style={{ "--ratio": width / height } as CSSProperties}>
      <img src={preview.picture} alt={words.preview.picture(preview.image)} />
      <canvas ref={canvas} aria-hidden data-outlines={labels ? "drawn" : undefined} />
    </div>
  );
}
