/** Asks for pieces of images: what is not there is no error, and what is not ready yet is asked for again. */

/** Answers of a service that is at work. */
const LATER = 503;
const LONGEST_S = 30;

/** For zarrita, to which 404 means a chunk of background; where browsers complain of 404, the service answers 204. */
export async function fetchPatiently(request: Request): Promise<Response> {
  for (;;) {
    const answer = await fetch(request.clone());
    if (answer.status === 204) return new Response(null, { status: 404 });
    if (answer.status !== LATER) return answer;
    await pause(Math.min(LONGEST_S, Number(answer.headers.get("Retry-After")) || 1), request.signal);
  }
}

/** Wait, unless nobody wants it any more. */
function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((ready, failed) => {
    const timer = setTimeout(ready, 1000 * seconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      failed(signal.reason as Error);
    });
  });
}
