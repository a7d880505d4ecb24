/**
 * What clients remember of the servers they logged in to, so that the next login takes one round trip (extension
 * `advance`). All of it was told by servers that proved to know the password, and none of it is secret.
 */
import { NEXT_LOGIN_MS, NEXT_LOGIN_TARGETS, NEXT_LOGINS_PER_TARGET } from "../limits.ts";
import type { ScramKeyCache } from "./scram-keys.ts";

/** What a server-first-message says beside the nonce: how the keys are derived from the password. */
export interface KeyDerivation {
  readonly salt: Uint8Array;
  /** As it stands in the message. */
  readonly saltText: string;
  readonly iterations: number;
}

interface Target {
  readonly derivation: KeyDerivation;
  /** The oldest first. */
  readonly nonces: { readonly nonce: string; readonly expiresAtMs: number }[];
}

/** Server nonces by target, see {@link loginTarget}. Times are `Runtime.now` milliseconds. */
export class NextLogins {
  /** In the order of the last login, the longest ago first. */
  readonly #targets: Map<string, Target> = new Map();

  #newest: Target | null = null;

  /** Targets remembered. */
  get size(): number {
    return this.#targets.size;
  }

  /** What the keys for a login of `target` are derived by; null if there is no nonce for it. */
  peek(target: string, nowMs: number): KeyDerivation | null {
    const known = this.#targets.get(target);
    const newest = known?.nonces.at(-1);
    if (known === undefined || newest === undefined) return null;
    if (newest.expiresAtMs > nowMs) return known.derivation;
    this.forget(target);
    return null;
  }

  /** Takes the newest nonce out. @returns null if none that goes with `derivation` is left. */
  take(target: string, derivation: KeyDerivation): string | null {
    const known = this.#targets.get(target);
    if (known?.derivation !== derivation) return null;
    return known.nonces.pop()?.nonce ?? null;
  }

  /** Remembers a nonce that `target` handed out after a login with these parameters. */
  add(target: string, derivation: KeyDerivation, nonce: string, nowMs: number): void {
    let known = this.#targets.get(target);
    if (known === undefined || !isSame(known.derivation, derivation)) known = { derivation, nonces: [] };
    const { nonces } = known;
    while (nonces.length >= NEXT_LOGINS_PER_TARGET || (nonces[0]?.expiresAtMs ?? nowMs + 1) <= nowMs) nonces.shift();
    nonces.push({ nonce, expiresAtMs: nowMs + NEXT_LOGIN_MS });
    // Most clients log in to one server, which is the last already.
    if (this.#newest === known) return;
    this.#newest = known;
    this.#targets.delete(target);
    this.#targets.set(target, known);
    if (this.#targets.size <= NEXT_LOGIN_TARGETS) return;
    for (const oldest of this.#targets.keys()) {
      this.#targets.delete(oldest);
      return;
    }
  }

  /** What is remembered of `target` turned out to be of no use. */
  forget(target: string): void {
    if (this.#targets.get(target) === this.#newest) this.#newest = null;
    this.#targets.delete(target);
  }
}

function isSame(a: KeyDerivation, b: KeyDerivation): boolean {
  return a === b || (a.saltText === b.saltText && a.iterations === b.iterations);
}

/** The name of a server, as seen by a client: whoever answers there, over TLS or not. */
export function loginTarget(to: {
  readonly host: string;
  readonly port: number;
  readonly path?: string | undefined;
  readonly tls: object | null;
}): string {
  const where = to.path === undefined ? `${to.host}:${to.port}` : `unix:${to.path}`;
  return to.tls === null ? where : `tls ${where}`;
}

/** What all clients on one runtime keep of their logins. */
export interface LoginMemory {
  readonly keys: ScramKeyCache;
  readonly next: NextLogins;
}
