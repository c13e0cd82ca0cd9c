/** Texts of the viewer. */
import { count, counted } from "../../format";

export const words = {
  back: "Back to the job",
  unnamed: "Job",
  place: (number: number, all: number) => `${count(number)} of ${count(all)}`,
  previous: "Previous image ( [ )",
  next: "Next image ( ] or N )",
  copyLink: "Copy link to this view",
  copied: "Link copied",
  loading: "Opening the image…",
  canvas: (name: string) =>
    `${name}. Arrow keys move, plus and minus zoom, 0 shows all, O turns outlines on and off, brackets change the image.`,
  zoomIn: "Nearer ( + )",
  zoomOut: "Farther ( − )",
  fit: "Show all ( 0 )",
  keys: "Keys: arrows move, + and − zoom, 0 shows all, O outlines, [ and ] change the image.",
  panel: "Settings of the view",
  tabs: { view: "View", measure: "Objects", images: "Images", compare: "Compare" },
  objects: (objects: number) => (objects === 0 ? "no objects" : counted(objects, "object")),
  noPixelSize: "pixel size unknown",
  noWebgl: "This browser cannot draw the image: it has no WebGL 2. Turn on hardware acceleration, or use another browser.",
  axes: { t: "Time point", z: "Plane" },
  /** Counted from 0, as in the table. */
  axisPlace: (at: number, all: number) => `${at} (0 – ${all - 1})`,
} as const;

export const channelWords = {
  title: "Channels",
  show: (name: string) => `Show ${name}`,
  colour: (name: string) => `Colour of ${name}`,
  contrast: (name: string) => `Contrast of ${name}`,
  darkest: (name: string) => `Darkest value of ${name}`,
  brightest: (name: string) => `Brightest value of ${name}`,
  auto: "Auto",
  autoHint: "From the 1st to the 99.8th percentile",
  reset: "As the model saw",
  resetHint: "The contrast that the model was given",
  opened: "As opened",
  openedHint: "The contrast with which the image opened",
  colours: {
    white: "White", cyan: "Cyan", magenta: "Magenta", yellow: "Yellow", green: "Green", red: "Red", blue: "Blue",
  },
} as const;

export const objectWords = {
  title: "Objects",
  outlines: "Outlines",
  outlinesKey: "key O",
  nuclei: "Outlines of nuclei",
  fill: "Fill",
  opacity: "Opacity of the fill",
  colourBy: "Colour by",
  byNumber: "Number of the object",
  missing: "Grey: no value",
  goto: "Go to object",
  gotoButton: "Go",
  gotoHint: "Number",
  noObject: (label: number) => `There is no object ${label}.`,
  name: (label: number) => `Object ${count(label)}`,
  pinned: "Pinned",
  unpin: "Let go",
  allColumns: (all: number) => `All ${all} columns`,
  fewerColumns: "Fewer columns",
  center: "Show it",
  hover: "Point at an object to see its row of the table; click to keep it here.",
  onlyNumber: "The table has more than 200\u2009000 rows, so only numbers are shown here. The CSV has all of it.",
  noTable: "This job wrote no table (CSV), so only numbers are shown. Make one of finished results with: cellfleet export results/ --format csv",
  readingTable: "Reading the table…",
  measure: "Measurements",
  column: "Column",
  histogram: (name: string) => `Histogram of ${name}`,
  brush: "Range that stands out",
  brushFrom: "Range from",
  brushTo: "Range to",
  inRange: (inside: number, all: number) => `${count(inside)} of ${counted(all, "object")} in the range`,
  clear: "Show all",
  brushHint: "Drag over the bars to make those objects stand out.",
} as const;

export const emptyWords = {
  title: "No objects found here",
  reasons: "Likely reasons",
  size: (microns?: number) =>
    microns
      ? `The pixel size is off: ${microns} µm is what the run used. More than twice too large or too small, and objects are missed.`
      : "The pixel size is unknown, so the model had to guess the size of the objects.",
  channel: (names: string) =>
    names ? `It is the wrong channel: the run used ${names}.` : "It is the wrong channel.",
  contrast: "There is little contrast: turn on Auto under Channels to see what is there.",
  again: "Try other settings on a preview",
} as const;

export const stateWords = {
  hide: "Hide this",
  waiting: "This image is still waiting",
  waitingText: "Its objects appear here as soon as it is done. The page looks every few seconds.",
  failed: "This image failed",
  noPixels: "The pixels cannot be shown",
  noPixelsText: "The file of the image has been moved, changed or removed, or the service does not answer. The results stand.",
  noLabels: "This job wrote no labels that the viewer can read",
  noLabelsText: "Outlines need the format OME-Zarr. Choose it next time, or make it of finished results with",
  export: "cellfleet export results/ --format ome-zarr",
  noCsv: "For the table:",
  exportCsv: "cellfleet export results/ --format csv",
  copy: "Copy",
  copied: "Copied",
} as const;

export const imageWords = {
  find: "Find an image",
  none: "No image has this in its name.",
  waiting: "waiting",
  failed: "failed",
  list: "Images of the job",
  flags: {
    none: "no objects", few: "few objects", many: "many objects", small: "small objects", large: "large objects",
  },
  flagHint: "differs much from the other images of the job",
} as const;

export const compareWords = {
  lead: "Lay the objects of another job over this image.",
  choose: "Other job",
  placeholder: "Choose a job",
  nothing: "No other job wrote OME-Zarr.",
  noImage: "That job has no finished image of this name with OME-Zarr.",
  otherSize: "That job's image has another size.",
  mode: "How to compare",
  modes: { together: "Together", swipe: "Swipe", blink: "Blink" },
  modeHints: {
    together: "Both over the image, what differs in colour.",
    swipe: "Drag the border over the image, or move it with the arrow keys.",
    blink: "They take turns; key B shows the other one.",
  },
  border: "Border between this job and the other",
  blinking: "Take turns",
  showing: "Shown now",
  here: "This job",
  there: "Other job",
  objects: "Objects",
  same: "In both",
  lost: "Only in this job",
  added: "Only in the other",
  f1: "Agreement (F1)",
  f1Hint: "Objects are the same where they share more than half of what they cover together.",
  tooLarge: "Above 4 Mpx objects are not matched one by one; outlines are shown in two colours.",
  matching: "Comparing…",
  stop: "Stop comparing",
  plane: "Counts are of the plane that is shown.",
} as const;
