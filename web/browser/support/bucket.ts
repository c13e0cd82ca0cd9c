/** A bucket on a real S3 server (moto) on this machine. */
import { spawn, type ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";

import { COMMAND } from "./service";
import { until } from "./until";

const NAME = "cells";

export class Bucket {
  readonly address = `s3://${NAME}/store`;

  private constructor(
    private readonly process: ChildProcess,
    /** With its port. */
    readonly host: string,
  ) {}

  /** What a program needs to find it. */
  get environment(): Record<string, string> {
    return { ...process.env, AWS_ENDPOINT_URL: `http://${this.host}`, AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: "us-east-1" } as Record<string, string>;
  }

  static async start(): Promise<Bucket> {
    const port = await freePort();
    const server = spawn(join(COMMAND, "..", "python"), ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
    const made = new Bucket(server, `127.0.0.1:${port}`);
    try {
      // Nobody is asked who he is.
      await until("the bucket is there", async () => (await fetch(`http://${made.host}/${NAME}`, { method: "PUT" })).ok);
    } catch (error) {
      made.stop();
      throw error;
    }
    return made;
  }

  /** Let pages of an address send, as the operator of a bucket has to. */
  async letIn(origin: string): Promise<void> {
    const rule = `<AllowedOrigin>${origin}</AllowedOrigin><AllowedMethod>PUT</AllowedMethod><AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader>`;
    const body = `<CORSConfiguration><CORSRule>${rule}</CORSRule></CORSConfiguration>`;
    const answer = await fetch(`http://${this.host}/${NAME}?cors`, { method: "PUT", body });
    if (!answer.ok) throw new Error(await answer.text());
  }

  /** Name → content of all that it holds. */
  async contents(): Promise<Map<string, Uint8Array>> {
    const listing = await (await fetch(`http://${this.host}/${NAME}?list-type=2`)).text();
    const names = [...listing.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, name = ""]) => name);
    const files = names.map(async (name) => {
      const path = name.split("/").map(encodeURIComponent).join("/");
      return [name, new Uint8Array(await (await fetch(`http://${this.host}/${NAME}/${path}`)).arrayBuffer())] as const;
    });
    return new Map(await Promise.all(files));
  }

  stop(): void {
    this.process.kill("SIGKILL");
  }
}

function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const server = createServer();
    server.once("error", failed);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => (address && typeof address === "object" ? found(address.port) : failed(new Error("no port is free"))));
    });
  });
}
