/** Some letters that hardly anybody else has: a request that names itself so may be sent again when its answer is lost. */
export function newKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
