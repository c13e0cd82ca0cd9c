/** Zstandard for zarrita: its own codec makes functions of strings, which the policy of the page forbids. */
import { decompress } from "fzstd";
import { registry } from "zarrita";

const zstd = {
  kind: "bytes_to_bytes" as const,
  encode(): never {
    throw new Error("the viewer writes nothing");
  },
  decode: (bytes: Uint8Array) => decompress(bytes),
};

/** Take the place of zarrita's codec. */
export function replaceCodecs() {
  registry.set("zstd", () => Promise.resolve({ fromConfig: () => zstd }));
}
