/** One image, opened: the canvas with what lies over it, and the panel beside it. */
import { ActionIcon, Alert, Slider, Stack, Tabs, Text, Group, Tooltip } from "@mantine/core";
import { IconFocusCentered, IconMinus, IconPlus } from "@tabler/icons-react";
import { useDeferredValue, useMemo, useState, useSyncExternalStore } from "react";

import type { Job } from "../../api/client";
import type { Table } from "../../viewer/csv";
import type { Rgb } from "../../viewer/paint";
import { palette } from "../../viewer/palette";
import { ScaleBar } from "../../viewer/ScaleBar";
import { Viewer, type Overlay } from "../../viewer/Viewer";
import type { Multiscale } from "../../viewer/zarr";
import { ChannelsPanel } from "./ChannelsPanel";
import { ComparePanel } from "./ComparePanel";
import { colours } from "./look";
import { ImagesPanel } from "./ImagesPanel";
import { MeasurePanel } from "./MeasurePanel";
import { Notices } from "./Notices";
import { HoverCard } from "./ObjectCard";
import { ObjectsPanel } from "./ObjectsPanel";
import { SwipeBar } from "./SwipeBar";
import { useCompare, type Comparison } from "./useCompare";
import { useKeys } from "./useKeys";
import type { Image, Record, TableState } from "./useOpened";
import { useView, type Style, type ViewState } from "./useView";
import { compareWords, words } from "./words";
import css from "./Workbench.module.css";

export interface Opened {
  job: Job;
  image: Image;
  pixels: Multiscale;
  labels?: Multiscale;
  nuclei?: Multiscale;
  table?: Table;
  tableState: TableState;
  style: Style;
  setStyle: (change: Partial<Style>) => void;
  previous?: () => void;
  next?: () => void;
  /** Gives whoever asks the address of what is seen. */
  onLink: (link: () => string) => void;
}

const NO_RECORD = { image: "", objects: 0, key: "" } as Record;

export function Workbench(opened: Opened) {
  const { job, image, pixels, table, previous, next } = opened;
  const record = image.record ?? NO_RECORD;
  const used = useMemo(() => Object.values(image.record?.channels_used ?? {}).flat(), [image]);
  const view = useView({ ...opened, used });
  const comparison = useCompare(view.style.compare, image.number, record, view.source, view.selection, {
    mode: view.style.compareMode, border: view.style.border,
  });
  const { camera, style, setStyle, setPinned } = view;
  const { blink } = comparison;
  const blinks = style.compare && style.compareMode === "blink";
  useKeys({ camera, previous, next, outlines: () => setStyle({ outlines: !style.outlines }), letGo: () => setPinned(0), other: blinks ? () => blink.show(!blink.other) : undefined });
  opened.onLink(view.link);
  const goTo = (label: number) => showObject(label, view, table);
  return (
    <div className={css.body}>
      <div className={css.left}>
        <Canvas opened={opened} view={view} comparison={comparison} record={record} />
        <Axes view={view} />
      </div>
      <Tabs
        className={css.panel}
        value={style.tab}
        onChange={(tab) => setStyle({ tab: tab ?? "view" })}
        keepMounted={false}
        aria-label={words.panel}
      >
        <Tabs.List grow>
          {(Object.keys(words.tabs) as (keyof typeof words.tabs)[]).map((tab) => (
            <Tabs.Tab key={tab} value={tab} px="xs">
              {words.tabs[tab]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="view" className={css.tab}>
          <Stack gap="xl">
            <ChannelsPanel id={`${job.id}/${image.number}`} pixels={pixels} view={view} used={used} />
            {view.source && <ObjectsPanel view={view} table={table} />}
            <Text size="xs" c="dimmed">
              {words.keys}
            </Text>
          </Stack>
        </Tabs.Panel>
        <Tabs.Panel value="measure" className={css.tab}>
          <MeasurePanel view={view} table={table} state={opened.tableState} objects={record.objects ?? 0} goTo={goTo} />
        </Tabs.Panel>
        <Tabs.Panel value="images" className={css.tab} data-fill>
          <ImagesPanel job={job.id} all={job.progress.images} current={image.number} />
        </Tabs.Panel>
        <Tabs.Panel value="compare" className={css.tab}>
          <ComparePanel
            job={job.id}
            chosen={style.compare}
            choose={(compare) => setStyle({ compare })}
            mode={style.compareMode}
            setMode={(compareMode) => setStyle({ compareMode })}
            comparison={comparison}
            objects={record.objects ?? 0}
            planes={view.limits.t * view.limits.z}
          />
        </Tabs.Panel>
      </Tabs>
    </div>
  );
}

interface CanvasProperties {
  opened: Opened;
  view: ViewState;
  comparison: Comparison;
  record: Record;
}

function Canvas({ opened, view, comparison, record }: CanvasProperties) {
  const { job, image, pixels, table, tableState } = opened;
  const { camera, pointer, source, selection, channels, setPinned, setStyle } = view;
  const [trouble, setTrouble] = useState(false);
  const [hidden, setHidden] = useState(false);
  const overlays = useOverlays(view, comparison, table, record);
  const pick = async (at: { x: number; y: number }) => {
    const label = source ? await source.exactly(at, selection).catch(() => 0) : 0;
    setPinned(label);
    if (label && table) setStyle({ tab: "measure" });
  };
  return (
    <div className={css.canvas}>
      {trouble ? (
        <Alert color="red" m="md">
          {words.noWebgl}
        </Alert>
      ) : (
        <Viewer
          image={pixels}
          camera={camera}
          channels={channels}
          overlays={overlays}
          selection={selection}
          label={words.canvas(image.image)}
          onHover={(pointed) => pointer.move(pointed, selection)}
          onPick={(at) => void pick(at)}
          onTrouble={(error) => /webgl|device|context/i.test(error.message) && setTrouble(true)}
        />
      )}
      <HoverCard pointer={pointer} table={table} canvas={camera.size} />
      <ScaleBar camera={camera} micronsPerPixel={pixels.micronsPerPixel} />
      <Apart comparison={comparison} view={view} />
      <Group gap={6} className={css.tools}>
        <Tool name={words.zoomIn} act={() => camera.zoomBy(1)} icon={<IconPlus size={18} aria-hidden />} />
        <Tool name={words.zoomOut} act={() => camera.zoomBy(-1)} icon={<IconMinus size={18} aria-hidden />} />
        <Tool name={words.fit} act={() => camera.fit()} icon={<IconFocusCentered size={18} aria-hidden />} />
      </Group>
      {!hidden && (
        <div className={css.notice}>
          <Notices job={job.id} image={image} table={tableState} hide={() => setHidden(true)} />
        </div>
      )}
    </div>
  );
}

/** What lies over the canvas while two jobs are shown beside each other, or in turns. */
function Apart({ comparison, view: { style, setStyle } }: { comparison: Comparison; view: ViewState }) {
  if (!comparison.overlays || style.compareMode === "together") return null;
  if (style.compareMode === "swipe") return <SwipeBar at={style.border} move={(border) => setStyle({ border })} />;
  return <div className={css.turn}>{comparison.blink.other ? compareWords.there : compareWords.here}</div>;
}

function Tool({ name, act, icon }: { name: string; act: () => void; icon: React.ReactNode }) {
  return (
    <Tooltip label={name}>
      <ActionIcon variant="default" size={34} onClick={act} aria-label={name}>
        {icon}
      </ActionIcon>
    </Tooltip>
  );
}

function useOverlays(view: ViewState, comparison: Comparison, table: Table | undefined, record: Record): Overlay[] {
  const { objects = 0, median_diameter_px: median } = record;
  const size = median ?? undefined;
  const { source, inner, style, pointer, pinned, range, column } = view;
  const { outlines, nuclei, fill, colourBy: by } = style;
  const hovered = useSyncExternalStore(pointer.listen, pointer.label);
  // Of very many objects it takes longer than a drag should wait.
  const settled = useDeferredValue(range);
  const own = useMemo(() => colours({ objects, table, by, column, range: settled }), [objects, table, by, column, settled]);
  const white = useMemo(() => palette(numbersOfNuclei(record), { colour: () => WHITE }), [record]);
  const compared = comparison.overlays;
  return useMemo(() => {
    if (!source) return [];
    const look = { outlines, fill };
    const cells = { id: "labels", source, palette: own, look, hovered, pinned };
    const within = inner && nuclei ? [{ id: "nuclei", source: inner, palette: white, look: { outlines: true, fill: 0 } }] : [];
    const all: Overlay[] = compared?.(look, hovered, pinned) ?? [cells, ...within];
    return all.map((overlay) => ({ ...overlay, size }));
  }, [source, inner, compared, own, white, outlines, nuclei, fill, hovered, pinned, size]);
}

const WHITE: Rgb = [255, 255, 255];

/** Cells without a nucleus keep their numbers. */
const numbersOfNuclei = ({ nuclei }: Record) => (nuclei?.objects ?? 0) + (nuclei?.cells_without ?? 0);

function Axes({ view: { limits, selection, setSelection } }: { view: ViewState }) {
  const axes = (["t", "z"] as const).filter((axis) => limits[axis] > 1);
  if (axes.length === 0) return null;
  return (
    <Group className={css.axes} gap="xl" grow>
      {axes.map((axis) => (
        <Group key={axis} gap="sm" wrap="nowrap">
          <Text size="sm" miw={80}>
            {words.axes[axis]}
          </Text>
          <Slider
            flex={1}
            size="sm"
            min={0}
            max={limits[axis] - 1}
            value={selection[axis] ?? 0}
            onChange={(at) => setSelection((before) => ({ ...before, [axis]: at }))}
            label={null}
            thumbLabel={words.axes[axis]}
          />
          <Text size="sm" c="dimmed" miw={64} ta="right">
            {words.axisPlace(selection[axis] ?? 0, limits[axis])}
          </Text>
        </Group>
      ))}
    </Group>
  );
}

const CLOSE_UP = 8;

/** Move to an object so that it takes an eighth of the canvas, and pin it. */
function showObject(label: number, view: ViewState, table?: Table) {
  const { camera, setPinned, setSelection, limits } = view;
  const row = table?.rowOf.get(label);
  if (!table || row === undefined) return;
  const of = (column: string) => table.columns.get(column)?.[row];
  const [x, y] = [of("x_px"), of("y_px")];
  setPinned(label);
  setSelection((before) => {
    const at = { t: of("t") ?? before.t ?? 0, z: of("z") ?? before.z ?? 0 };
    return { t: Math.min(at.t, limits.t - 1), z: Math.min(at.z, limits.z - 1) };
  });
  if (x === undefined || y === undefined) return;
  const { width, height } = camera.size();
  const wide = of("equivalent_diameter_px") ?? 20;
  camera.go({ x: x + 0.5, y: y + 0.5, zoom: Math.log2(Math.min(width, height) / (CLOSE_UP * wide)) });
}
