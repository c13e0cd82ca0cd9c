/** The images of the next job, and the labelled ones of the next training, for React. */
import { useEffect, useSyncExternalStore } from "react";

import { answer, api } from "../api/client";
import { about, queries } from "../api/queries";
import { Bucket, sendDirect } from "./direct";
import { LABEL_ENDINGS } from "./chosen";
import { Drafts, type Draft, type Service } from "./draft";
import { Memory } from "./remembered";
import { send, SMALL_BYTES, type Sending } from "./send";

async function filesOf(set: string): Promise<Map<string, number>> {
  const files = new Map<string, number>();
  let after: string | undefined;
  do {
    const params = { path: { set_id: set }, query: { after, limit: 1000 } };
    const page = await answer(api.GET("/api/v1/sets/{set_id}/files", { params }));
    page.files.forEach(({ path, size }) => files.set(path, size));
    after = page.after ?? undefined;
  } while (after);
  return files;
}

const bucket = new Bucket();

/** Straight to the bucket where the store is one; small files, for which that is a detour, through the service. */
async function sendBest(sending: Sending): Promise<void> {
  const direct = sending.file.size > SMALL_BYTES && (await queries.fetchQuery(about)).direct_uploads;
  if (!direct || !(await sendDirect(sending, bucket))) await send(sending);
}

const service: Service = {
  newSet: async (name) => (await answer(api.POST("/api/v1/sets", { body: { name } }))).id,
  files: filesOf,
  deleteSet: async (set) => {
    await answer(api.DELETE("/api/v1/sets/{set_id}", { params: { path: { set_id: set } } }));
  },
  send: sendBest,
};

export const drafts = new Drafts(service);
export const labelled = new Drafts(service, new Memory("cellfleet-labelled"), LABEL_ENDINGS);

// A connection that is back is used at once.
window.addEventListener("online", () => {
  for (const one of [drafts, labelled]) if (one.get().lost) one.goOn();
});

export function useDraft(of: Drafts = drafts): Draft {
  useEffect(() => void of.restore(), [of]);
  return useSyncExternalStore(of.subscribe, of.get);
}
