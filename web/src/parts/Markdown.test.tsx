import { MantineProvider } from "@mantine/core";
import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";

import { Markdown } from "./Markdown";

const show = (text: string) => render(<MantineProvider><Markdown text={text} /></MantineProvider>).container;

test("a model's text keeps its headings, tables, lists, code and links", () => {
  show("# tissue 1.0\n\n## Validation\n\n| data | F1 |\n|---|---|\n| drawn | **0.89** |\n\n- one `x < y` of [theirs](https://a.example/b)\n\n```\ncellfleet segment\n```\n");
  expect(screen.getAllByRole("heading").map(({ textContent }) => textContent)).toEqual(["Validation"]);
  expect(screen.getByRole("cell", { name: "0.89" })).toBeTruthy();
  expect(screen.getByRole("listitem").textContent).toBe("one x < y of theirs");
  expect(screen.getByRole("link").getAttribute("href")).toBe("https://a.example/b");
  expect(screen.getByText("cellfleet segment")).toBeTruthy();
});

test("what a package of strangers could do harm with is not there", () => {
  const shown = show('a <img src=x onerror="alert(1)"> b\n\n<script>alert(1)</script>\n\n![c](https://a.example/c.svg)\n\n[d](javascript:alert(1)) [e](docs/e.md)');
  expect(shown.querySelectorAll("script, img, a")).toHaveLength(0);
  expect(shown.textContent).toContain("d e");
});
