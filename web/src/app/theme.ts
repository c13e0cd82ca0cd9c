/** Colours, type and sizes of all pages. */
import { createTheme, Drawer, Modal, type MantineColorsTuple } from "@mantine/core";

import { words } from "../words";

const sea: MantineColorsTuple = [
  "#e6f7f9", "#d2ebef", "#a6d5dd", "#77beca", "#51abba", "#389fb0", "#2799ab", "#148597", "#007687", "#006676",
];

/** The cross in the corner of a dialog is a picture only. */
const closeButtonProps = { "aria-label": words.close };

export const theme = createTheme({
  primaryColor: "sea",
  colors: { sea },
  primaryShade: { light: 8, dark: 8 },
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
  fontFamilyMonospace: "ui-monospace, 'SF Mono', Menlo, Consolas, monospace",
  defaultRadius: "md",
  focusRing: "auto",
  respectReducedMotion: true,
  components: {
    Drawer: Drawer.extend({ defaultProps: { closeButtonProps } }),
    Modal: Modal.extend({ defaultProps: { closeButtonProps } }),
  },
});
