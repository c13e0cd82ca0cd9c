import { describe, expect, test } from "vitest";

import { answer, Refusal } from "./client";

const got = (status: number, error?: unknown, data?: unknown) =>
  answer(Promise.resolve({ data, error, response: new Response(null, { status }) }));

describe("an answer of the service", () => {
  test("is its body", async () => {
    await expect(got(200, undefined, { id: "a" })).resolves.toEqual({ id: "a" });
  });

  test("that refuses tells why in the service's words", async () => {
    const problem = { code: "E810", what: "there is no such job", message: "a: there is no such job. [E810]" };
    const error = await got(404, problem).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Refusal);
    expect((error as Refusal).problem.code).toBe("E810");
    expect((error as Refusal).message).toBe("a: there is no such job. [E810]");
  });

  test("that is no problem of ours, or does not come, says what can be done", async () => {
    await expect(got(502, "<html>")).rejects.toThrow("The service does not answer");
    await expect(answer(Promise.reject(new TypeError("network")))).rejects.toThrow("E960");
  });
});
