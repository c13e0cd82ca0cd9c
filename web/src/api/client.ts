/** Talks to the service. Types come from its OpenAPI document (`make web-api`); errors become `Problem`s with a text. */
import createClient, { type Middleware } from "openapi-fetch";

import { token } from "./login";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Job = Schemas["Job"];
export type JobImage = Schemas["JobImage"];
export type Problem = Schemas["Problem"];

/** What the service refused, in its own words. */
export class Refusal extends Error {
  constructor(
    readonly problem: Problem,
    readonly status: number,
  ) {
    super(problem.message);
  }
}

const NO_ANSWER: Problem = {
  code: "E960",
  what: "the service does not answer",
  where: "",
  action: "Check that it runs and that you are connected; what it is doing goes on",
  message: "The service does not answer. Check that it runs and that you are connected; what it is doing goes on. [E960]",
};

const signed: Middleware = {
  onRequest({ request }) {
    const known = token();
    if (known) request.headers.set("Authorization", `Bearer ${known}`);
    return request;
  },
};

export const api = createClient<paths>({ baseUrl: "/" });
api.use(signed);

/** Return the answer's body, or throw a `Refusal`. */
export async function answer<T>(asked: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let got;
  try {
    got = await asked;
  } catch {
    throw new Refusal(NO_ANSWER, 0);
  }
  if (got.response.ok) return got.data as T;
  const body = got.error as Partial<Problem> | undefined;
  throw new Refusal(body?.message ? (body as Problem) : NO_ANSWER, got.response.status);
}
