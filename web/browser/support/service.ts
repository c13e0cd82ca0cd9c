/** A real `cellfleet serve` with its own folder, ledger and worker, that a test may kill and start again. */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const HERE = import.meta.dirname;
export const COMMAND = process.env.CELLFLEET ?? resolve(HERE, "../../../.venv/bin/cellfleet");
const START_MS = 90_000;
const STOP_MS = 15_000;

export class Service {
  url = "";
  private process?: ChildProcess;
  private said = "";

  private constructor(
    readonly data: string,
    private readonly options: string[],
    private readonly environment: NodeJS.ProcessEnv,
  ) {}

  /** Start one on a fresh folder; `prepare` may put things into the folder before. */
  static async start(options: string[] = [], prepare?: (data: string) => Promise<void>, environment = process.env): Promise<Service> {
    // A deep folder would make the address of the ledger's socket too long.
    const made = new Service(await mkdtemp(join(tmpdir(), "cf-")), options, environment);
    await prepare?.(made.data);
    await made.begin("0");
    return made;
  }

  /** Start it again on its folder and at its address. */
  async again(): Promise<void> {
    await this.begin(new URL(this.url).port);
  }

  /** End it as a power cut would. */
  async kill(): Promise<void> {
    await this.end("SIGKILL");
  }

  async stop(): Promise<void> {
    await this.end("SIGTERM");
    await rm(this.data, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 });
  }

  private async begin(port: string): Promise<void> {
    this.said = "";
    const started = spawn(COMMAND, ["serve", "--port", port, "--data", this.data, "--device", "cpu", ...this.options], {
      stdio: ["ignore", "pipe", "pipe"],
      env: this.environment,
    });
    this.process = started;
    this.url = await new Promise<string>((found, failed) => {
      const late = setTimeout(() => {
        started.kill("SIGKILL");
        failed(new Error(`the service did not start: ${this.said}`));
      }, START_MS);
      started.once("error", failed);
      started.once("exit", () => failed(new Error(`the service ended: ${this.said}`)));
      const hear = (text: Buffer) => {
        this.said = (this.said + String(text)).slice(-10_000);
        const address = /http:\/\/127\.0\.0\.1:\d+/.exec(this.said);
        if (!address) return;
        clearTimeout(late);
        found(address[0]);
      };
      started.stdout?.on("data", hear);
      started.stderr?.on("data", hear);
    });
  }

  private async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const running = this.process;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    const ended = new Promise<void>((done) => running.once("exit", () => done()));
    const patience = setTimeout(() => running.kill("SIGKILL"), STOP_MS);
    running.kill(signal);
    await ended;
    clearTimeout(patience);
  }
}

const run = promisify(execFile);

/** Make a token of a user for the service in this folder. */
export async function newToken(data: string, user: string, ...options: string[]): Promise<string> {
  const { stdout } = await run(COMMAND, ["tokens", "add", user, "--data", data, ...options]);
  const token = /cf_\S+/.exec(stdout);
  if (!token) throw new Error(`no token in ${stdout}`);
  return token[0];
}

/** Run a script of this folder with the Python that has cellfleet. */
export async function python(script: string, ...words: string[]): Promise<string> {
  const program = join(COMMAND, "..", "python");
  const { stdout } = await run(program, [resolve(HERE, script), ...words], { maxBuffer: 1 << 26 });
  return stdout.trim();
}
