/** Colours, type and sizes of all pages. */
import { createTheme, type MantineColorsTuple } from "@mantine/core";

const sea: MantineColorsTuple = [
  "#e6f7f9", "#d2ebef", "#a6d5dd", "#77beca", "#51abba", "#389fb0", "#2799ab", "#148597", "#007687", "#006676",
];

export const theme = createTheme({
  primaryColor: "sea",
  colors: { sea },
  primaryShade: { light: 8, dark: 8 },
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
  fontFamilyMonospace: "ui-monospace, 'SF Mono', Menlo, Consolas, monospace",
  defaultRadius: "md",
  focusRing: "auto",
  respectReducedMotion: true,
});
