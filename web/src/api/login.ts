/** The user's token, kept for this tab's browser until the user leaves. Where no login is needed there is none. */
const KEY = "cellfleet-token";
const heard = new Set<() => void>();

export const token = (): string => localStorage.getItem(KEY) ?? "";

export function setToken(value: string): void {
  if (value) localStorage.setItem(KEY, value);
  else localStorage.removeItem(KEY);
  heard.forEach((tell) => tell());
}

/** For `useSyncExternalStore`. */
export function onTokenChange(tell: () => void): () => void {
  heard.add(tell);
  return () => heard.delete(tell);
}
