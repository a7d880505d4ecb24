import type { CloseReason } from "../connection/close-reason.ts";
import type { DrainNotice } from "../connection/extension.ts";
import { HookList } from "../endpoint/hook-list.ts";
import type { FailedAttempt } from "./reconnector.ts";
import type { ExpiredSession, ResumedSession } from "./resumed-session.ts";

/** A client's hooks. */
export class ClientHooks<Peer> {
  readonly #client: Peer;
  readonly #failed: (name: string, error: unknown) => void;
  readonly connect: HookList<[client: Peer]> = new HookList();
  readonly disconnect: HookList<[client: Peer, reason: CloseReason]> = new HookList();
  readonly reconnect: HookList<[client: Peer]> = new HookList();
  readonly attemptFailed: HookList<[client: Peer, attempt: FailedAttempt]> = new HookList();
  readonly drain: HookList<[client: Peer, notice: DrainNotice]> = new HookList();
  readonly resume: HookList<[session: ResumedSession]> = new HookList();
  readonly expired: HookList<[session: ExpiredSession]> = new HookList();

  /** @param failed called when a hook has failed */
  constructor(client: Peer, failed: (name: string, error: unknown) => void) {
    this.#client = client;
    this.#failed = failed;
  }

  /**
   * The client has logged in. Returns null if there are no hooks.
   * @param again whether it reconnected automatically
   */
  connected(again: boolean): Promise<void> | null {
    return this.connect.isEmpty && (!again || this.reconnect.isEmpty) ? null : this.#runConnected(again);
  }

  async #runConnected(again: boolean): Promise<void> {
    await this.connect.run((error) => this.#failed("onConnect", error), this.#client);
    if (again) await this.reconnect.run((error) => this.#failed("onReconnect", error), this.#client);
  }

  disconnected(reason: CloseReason): Promise<void> {
    return this.disconnect.run((error) => this.#failed("onDisconnect", error), this.#client, reason);
  }

  /** Returns whether there are any hooks. */
  notifyAttemptFailed(attempt: FailedAttempt): boolean {
    if (this.attemptFailed.isEmpty) return false;
    this.attemptFailed.notify((error) => this.#failed("onReconnectAttemptFailed", error), this.#client, attempt);
    return true;
  }

  notifyDraining(notice: DrainNotice): void {
    this.drain.notify((error) => this.#failed("onDrain", error), this.#client, notice);
  }

  notifyResumed(session: ResumedSession): void {
    this.resume.notify((error) => this.#failed("onResume", error), session);
  }

  notifyExpired(session: ExpiredSession): void {
    this.expired.notify((error) => this.#failed("onSessionExpired", error), session);
  }
}

/** The part that a client's connections use. */
export type ConnectionHooks = Pick<
  ClientHooks<never>,
  "connected" | "disconnected" | "notifyAttemptFailed" | "notifyDraining" | "notifyExpired" | "notifyResumed"
>;
