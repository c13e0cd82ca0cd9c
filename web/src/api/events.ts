/** Server-sent events over fetch, because the browser's own EventSource sends no token. */
import { token } from "./login";

/**
 * Yield the data of each event until the stream ends. Throws when it cannot be opened or breaks.
 *
 * `last`: of the events that are here already, the number of the newest.
 */
export async function* events(url: string, signal: AbortSignal, last?: number): AsyncGenerator<string> {
  const known = token();
  const headers: Record<string, string> = { Accept: "text/event-stream" };
  if (last !== undefined) headers["Last-Event-ID"] = String(last);
  if (known) headers.Authorization = `Bearer ${known}`;
  const response = await fetch(url, { headers, signal });
  if (!response.ok || !response.body) throw new Error(`the stream answers ${response.status}`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    waiting += value.replaceAll("\r\n", "\n");
    const whole = waiting.split("\n\n");
    waiting = whole.pop() ?? "";
    for (const event of whole) {
      const data = dataOf(event);
      if (data) yield data;
    }
  }
}

/** Return the data lines of one event; comments and names are left out. */
export function dataOf(event: string): string {
  return event
    .split("\n")
    .filter((line) => line.startsWith("data:"))
    .map((line) => line.slice(5).trimStart())
    .join("\n");
}
