import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { fetchPatiently } from "./fetch";

const answers = vi.fn<() => Promise<Response>>();
const request = (signal?: AbortSignal) => new Request("http://127.0.0.1/0/c/0/0", { signal });

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("fetch", answers);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  answers.mockReset();
});

it("takes a chunk that is not there for background", async () => {
  answers.mockResolvedValueOnce(new Response(null, { status: 204 }));
  expect((await fetchPatiently(request())).status).toBe(404);
});

it("asks again for what is not ready yet, when the service says", async () => {
  answers.mockResolvedValueOnce(new Response(null, { status: 503, headers: { "Retry-After": "5" } }));
  answers.mockResolvedValueOnce(new Response("pixels"));
  const answer = fetchPatiently(request());
  await vi.advanceTimersByTimeAsync(4900);
  expect(answers).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(200);
  expect(await (await answer).text()).toBe("pixels");
});

it("asks no more for what nobody looks at any more", async () => {
  const stop = new AbortController();
  answers.mockResolvedValue(new Response(null, { status: 503 }));
  const answer = fetchPatiently(request(stop.signal));
  answer.catch(() => undefined);
  await vi.advanceTimersByTimeAsync(0);
  stop.abort();
  await expect(answer).rejects.toThrow();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(answers).toHaveBeenCalledTimes(1);
});
