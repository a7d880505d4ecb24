import { ConduitError, ErrorCode } from "../errors.ts";
import type { ListenEvents, Listener, Runtime, TlsServerOptions } from "../runtime.ts";
import type { ServerLifecycle } from "./server-lifecycle.ts";
import { parseServerTls, type ServerConfig } from "./server-options.ts";

/** Listens according to the options, with the current certificate. */
export class ServerListener {
  readonly #runtime: Runtime;
  readonly #config: ServerConfig;
  /** From the options, until `setTls` replaces it. */
  #tls: TlsServerOptions | null;

  constructor(runtime: Runtime, config: ServerConfig) {
    this.#runtime = runtime;
    this.#config = config;
    this.#tls = config.tls;
  }

  listen(events: ListenEvents): Promise<Listener> {
    const { host, port, path, ipv6, bufferSize, maxPendingLogins } = this.#config;
    const target = { host, port, ipv6, tls: this.#tls, bufferSize, maxPendingHandshakes: maxPendingLogins };
    return this.#runtime.listen({ ...target, ...(path === undefined ? {} : { path }) }, events);
  }

  /** See `Server.setTls`. */
  async setTls(tls: TlsServerOptions, { state, listener }: Pick<ServerLifecycle, "state" | "listener">): Promise<void> {
    const next = parseServerTls(tls);
    if (this.#tls === null) {
      throw new ConduitError(ErrorCode.INVALID_STATE, "Cannot set tls: the server was made without the option tls");
    }
    if (state === "starting" || state === "stopping") {
      throw new ConduitError(ErrorCode.INVALID_STATE, `Cannot set tls: the server is ${state}`);
    }
    if (listener !== null) {
      if (listener.setTls === undefined)
        throw new ConduitError(
          ErrorCode.INVALID_CONFIG,
          "Cannot set tls: listeners of this runtime keep their certificate; stop the server, and start one with the new tls",
        );
      await listener.setTls(next);
    }
    this.#tls = next;
  }
}
