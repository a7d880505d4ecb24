import type { CloseReason } from "../connection/close-reason.ts";
import { HookList } from "../endpoint/hook-list.ts";
import { codeOf, isInstance, messageOf, RpcError } from "../errors.ts";
import type { Denial } from "../rpc/access.ts";
import type { Rejection } from "./login-manager.ts";

/** A server's hooks. */
export class ServerHooks<Server, Peer> {
  readonly startup: HookList<[server: Server]> = new HookList();
  readonly listening: HookList<[server: Server]> = new HookList();
  readonly shutdown: HookList<[server: Server]> = new HookList();
  readonly connect: HookList<[connection: Peer]> = new HookList();
  readonly resume: HookList<[connection: Peer]> = new HookList();
  readonly disconnect: HookList<[connection: Peer, reason: CloseReason]> = new HookList();
  readonly rejected: HookList<[rejection: Rejection]> = new HookList();
  readonly denied: HookList<[connection: Peer, denial: Denial]> = new HookList();
  readonly #server: Server;
  readonly #failed: (name: string, error: unknown, connection?: Peer) => void;
  readonly #connecting = new Map<Peer, Promise<void>>();
  readonly #disconnecting = new Set<Promise<void>>();

  /** @param failed called when a hook has failed */
  constructor(server: Server, failed: (name: string, error: unknown, connection?: Peer) => void) {
    this.#server = server;
    this.#failed = failed;
  }

  /** Whether a hook is on the call stack, that is, hasn't reached its first `await`. */
  get isCalling(): boolean {
    const { listening, shutdown, connect, resume, disconnect, rejected, denied } = this;
    return [listening, shutdown, connect, resume, disconnect, rejected, denied].some((hooks) => hooks.isCalling);
  }

  /** Rejects with the error of the first hook that fails. */
  runStartup(): Promise<void> {
    return this.startup.runStrict(this.#server);
  }

  runListening(): Promise<void> {
    return this.listening.run((error) => this.#failed("onListening", error), this.#server);
  }

  runShutdown(): Promise<void> {
    return this.shutdown.run((error) => this.#failed("onShutdown", error), this.#server);
  }

  /**
   * A client has logged in.
   * @param refused called when a hook has thrown or returned an `RpcError`
   * @param finished called when all hooks have finished
   */
  connected(connection: Peer, refused: (code: number, message: string) => void, finished: () => void): void {
    const running = this.connect.run(this.#orRefused("onClientConnect", connection, refused), connection).then(() => {
      this.#connecting.delete(connection);
      finished();
    });
    this.#connecting.set(connection, running);
  }

  /** A client wants to resume its connection. @param refused called when a hook has thrown or returned an `RpcError` */
  resuming(connection: Peer, refused: (code: number, message: string) => void): Promise<void> {
    return this.resume.run(this.#orRefused("onClientResume", connection, refused), connection);
  }

  #orRefused(
    name: string,
    connection: Peer,
    refused: (code: number, message: string) => void,
  ): (error: unknown) => void {
    return (error) => {
      if (isInstance(error, RpcError)) refused(codeOf(error), messageOf(error));
      else this.#failed(name, error, connection);
    };
  }

  /** A client's connection has ended. Its hooks run after those of its login. */
  disconnected(connection: Peer, reason: CloseReason): void {
    if (this.disconnect.isEmpty) return;
    const run = (): Promise<void> =>
      this.disconnect.run((error) => this.#failed("onClientDisconnect", error, connection), connection, reason);
    const done = this.#connecting.get(connection)?.then(run) ?? run();
    this.#disconnecting.add(done);
    void done.then(() => this.#disconnecting.delete(done));
  }

  /** Resolves when the hooks of all ended connections have finished. */
  allDisconnected(): Promise<unknown> {
    return Promise.all(this.#disconnecting);
  }

  notifyRejected(rejection: Rejection): void {
    this.rejected.notify((error) => this.#failed("onClientRejected", error), rejection);
  }

  /** Returns when the asynchronous hooks have finished; null if there are none. */
  notifyDenied(connection: Peer, denial: Denial): Promise<unknown> | null {
    return this.denied.start((error) => this.#failed("onDenied", error, connection), connection, denial);
  }
}

/** The hooks for clients' connections. */
export type ClientConnectionHooks<Peer> = Pick<
  ServerHooks<never, Peer>,
  "connect" | "connected" | "disconnected" | "notifyRejected" | "resume" | "resuming"
>;
