import type { Connection, ServerInit } from "@netconduit/core";
import { Server as CoreServer } from "@netconduit/core";
import type { Runtime } from "@netconduit/core/adapter";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import type { OpenServer } from "../support/subject.ts";
import { Half, PASSWORD } from "./half.ts";

/** The fastest login that the library permits. */
const FAST = { scramIterations: 4096 };

export type ServerSettings = Partial<ServerInit>;

/** A server's address. */
export interface ServerAddress extends Record<string, string | number | null> {
  readonly host: string;
  readonly port: number;
  readonly path: string | null;
}

/** The server half of a scenario. */
export class ServerHalf extends Half {
  /** Creates a server on 127.0.0.1 without starting it. */
  server(options: ServerSettings = {}, runtime?: Runtime): OpenServer {
    this.check();
    const where = options.path === undefined ? { host: "127.0.0.1", port: 0 } : {};
    const all = { password: PASSWORD, ...where, ...FAST, ...options };
    const server = runtime === undefined ? new this.subject.Server(all) : new CoreServer(all, runtime);
    // Scenarios provoke errors, which would become process warnings without a hook.
    server.onError(() => {});
    this.defer(() => server.stop({ drainMs: 0 }));
    return server;
  }

  /** Starts a server and sends its address to the client half. @returns the connections of its clients, in order */
  async open(server: OpenServer): Promise<EventLog<Connection>> {
    const arrivals = new EventLog<Connection>();
    server.onClientConnect(arrivals.add);
    await server.start();
    const { host, port, path } = server.address;
    this.tell("address", { host, port, path } satisfies ServerAddress);
    return arrivals;
  }
}
