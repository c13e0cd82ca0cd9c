/** What the service reckons before a run: time and cost, from what its workers have measured. */
import { queryOptions } from "@tanstack/react-query";

import { answer, api, type Schemas } from "../../api/client";
import { duration } from "../../format";
import type { Facts } from "./facts";
import type { Spec } from "./settings";

type Plan = Schemas["Plan"];
type Span = Schemas["Span"];

/** Null: no worker has run this model yet. Its answer would be an error, which the browser would tell as a fault. */
export const planFor = (facts: Facts, spec?: Spec) =>
  queryOptions({
    queryKey: ["plan", facts.images, facts.pixels, spec?.model],
    queryFn: async (): Promise<Plan | null> => {
      const model = spec?.model as string;
      const { speeds } = await answer(api.GET("/api/v1/speeds", { params: { query: { model } } }));
      if (!speeds.some(({ megapixels }) => (megapixels ?? 0) > 0)) return null;
      const counted = {
        images: facts.images, pixels: Math.round(facts.pixels as number), bytes: 0, looked_at: facts.ready, unreadable: facts.unreadable,
      };
      return answer(api.POST("/api/v1/plan", { body: { counted, segment: spec } as Schemas["PlanRequest"] }));
    },
    enabled: spec !== undefined && facts.pixels !== undefined && facts.images > 0,
    retry: false,
    staleTime: 60_000,
  });

/** "2 min – 3 min", or one of them where they read the same; what is nearly nothing is not told as nothing. */
export function timeOf({ low, high }: Span): string {
  if (high < 1) return "under 1 s";
  return between(duration(Math.max(1, low)), duration(high));
}

export function costOf({ low, high }: Span): string {
  return between(dollars(low), dollars(high));
}

/** The number of workers that is fastest, where more than one helps. */
export function fastestOf({ sizes, fastest }: Plan): Plan["sizes"][number] | undefined {
  return fastest > 1 ? sizes.find(({ workers }) => workers === fastest) : undefined;
}

const between = (low: string, high: string) => (low === high ? low : `${low} – ${high}`);
const dollars = (usd: number) => (usd > 0 && usd < 0.01 ? "< $0.01" : `$${usd.toFixed(2)}`);
