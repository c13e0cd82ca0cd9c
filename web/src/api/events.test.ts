import { expect, test, vi } from "vitest";

import { dataOf, events } from "./events";

test("comments are no data, and data may have several lines", () => {
  expect(dataOf(": still here")).toBe("");
  expect(dataOf("event: progress\ndata: a\ndata: b")).toBe("a\nb");
});

test("events that arrive in pieces are put together", async () => {
  const pieces = ["event: progress\nda", 'ta: {"a":1}\n', "\n: hello\n\ndata: 2\r\n\r\n"];
  const body = new ReadableStream({
    start(controller) {
      pieces.forEach((piece) => controller.enqueue(new TextEncoder().encode(piece)));
      controller.close();
    },
  });
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(body)));
  const got = [];
  for await (const data of events("/x", new AbortController().signal)) got.push(data);
  expect(got).toEqual(['{"a":1}', "2"]);
});
