/** A way to the service that a test may cut, as a network does: TCP, byte for byte, over a port of its own. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

export class Way {
  /** Bytes that went to the service. */
  sent = 0;
  private end = Infinity;
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly port: number,
  ) {}

  static async to(url: string): Promise<Way> {
    const server = createServer();
    const way = new Way(server, Number(new URL(url).port));
    server.on("connection", (from) => way.lead(from));
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    return way;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get isCut(): boolean {
    return this.sent >= this.end;
  }

  /** Break all connections when so many bytes have gone; from then on none comes to be until `mend`. */
  cutAfter(bytes: number): void {
    this.end = bytes;
  }

  mend(): void {
    this.end = Infinity;
    this.sent = 0;
  }

  close(): void {
    this.server.close();
    this.breakAll();
  }

  private lead(from: Socket): void {
    if (this.isCut) {
      from.destroy();
      return;
    }
    const to = connect(this.port, "127.0.0.1");
    for (const [socket, other] of [[from, to], [to, from]] as const) {
      this.sockets.add(socket);
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        this.sockets.delete(socket);
        other.destroy();
      });
    }
    from.on("data", ({ length }) => {
      this.sent += length;
      if (this.isCut) this.breakAll();
    });
    from.pipe(to);
    to.pipe(from);
  }

  private breakAll(): void {
    for (const socket of this.sockets) socket.destroy();
  }
}
