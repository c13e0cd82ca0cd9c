/** Waits for what comes to pass, never for a time. */
const POLL_MS = 100;

/** Return the first answer that is not undefined, false or null. What throws is asked again. */
export async function until<T>(what: string, ask: () => T | Promise<T>, longestMs = 80_000): Promise<NonNullable<T>> {
  const end = Date.now() + longestMs;
  let last: unknown;
  while (Date.now() < end) {
    try {
      const found = await ask();
      if (found !== undefined && found !== null && found !== false) return found as NonNullable<T>;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`it did not come to pass in ${longestMs / 1000} s that ${what}`, { cause: last });
}
