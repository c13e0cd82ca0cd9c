/** A bar of a round length, over the canvas; follows the zoom. */
import { useSyncExternalStore } from "react";

import { scaleBar } from "./scale";
import type { Camera } from "./view";
import css from "./Viewer.module.css";

export function ScaleBar({ camera, micronsPerPixel }: { camera: Camera; micronsPerPixel?: number }) {
  const { zoom } = useSyncExternalStore(camera.listen, camera.view);
  const { width, text } = scaleBar(zoom, micronsPerPixel);
  return (
    <div className={css.bar} data-testid="scale-bar">
      {text}
      <div className={css.line} style={{ width }} />
    </div>
  );
}
