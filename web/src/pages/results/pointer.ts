/** Which object is below the pointer, kept outside React: only what shows it is drawn again. */
import type { LabelSource } from "../../viewer/labels";
import type { Camera } from "../../viewer/view";
import type { Pointed } from "../../viewer/Viewer";
import type { Selection } from "../../viewer/zarr";

export interface Hovered {
  label: number;
  /** px of the canvas. */
  x: number;
  y: number;
}

const NOTHING: Hovered = { label: 0, x: 0, y: 0 };

export class Pointer {
  private heard = new Set<() => void>();
  private now = NOTHING;

  constructor(
    private readonly camera: Camera,
    private readonly labels?: LabelSource,
  ) {}

  listen = (tell: () => void): (() => void) => {
    this.heard.add(tell);
    return () => this.heard.delete(tell);
  };

  hovered = (): Hovered => this.now;

  label = (): number => this.now.label;

  move(pointed: Pointed | undefined, selection: Selection) {
    const label = pointed && this.labels ? this.at(pointed, this.labels, selection) : 0;
    const next = pointed && label ? { label, ...pointed.on } : NOTHING;
    if (next === this.now) return;
    this.now = next;
    this.heard.forEach((tell) => tell());
  }

  /** Looks at the level that is on the screen, which is there already. */
  private at({ at }: Pointed, labels: LabelSource, selection: Selection): number {
    const coarsest = labels.image.levels.length - 1;
    const shown = Math.min(coarsest, Math.max(0, -Math.ceil(this.camera.view().zoom)));
    for (let level = shown; level <= coarsest; level++) {
      const label = labels.seen(at, level, selection);
      if (label !== undefined) return label;
    }
    return 0;
  }
}
