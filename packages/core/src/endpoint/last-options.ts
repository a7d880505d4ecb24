/**
 * The options that were right the last time, and the configuration they gave. A program that makes many clients makes
 * them of the same options, and judging those again takes longer than all else a client is made of.
 *
 * Nothing secret is kept: the password is left out, and options with TLS material are not noted.
 */
export class LastOptions<
  Config extends { readonly password: unknown; readonly reconnect: object; readonly tls: unknown },
> {
  #options: Readonly<Record<string, unknown>> | null = null;
  #config: Config | null = null;
  /** The configuration that some client has, with its password, for as long as the client lives. */
  #live: WeakRef<Config> | null = null;

  /**
   * The configuration that `options` gave the last time, without its password; null if these are others. Whether
   * `options.password` is one is not looked at.
   */
  find(options: unknown): Config | null {
    return this.#options !== null && isPlain(options) && isSame(options, this.#options) ? this.#config : null;
  }

  /** The frozen configuration of a client that lives, if it has been made of `known` and this password. */
  living(known: Config, password: unknown): Config | null {
    const live = known === this.#config ? this.#live?.deref() : undefined;
    return live !== undefined && live.password === password ? live : null;
  }

  /** Notes the configuration of a client, which may be that of others as well. */
  lives(config: Config): Config {
    this.#live = new WeakRef(config);
    return config;
  }

  /** Notes options that passed, and what they gave. */
  note(options: unknown, config: Config): void {
    if (!isPlain(options) || typeof options["tls"] === "object") return;
    const { reconnect } = options;
    if (reconnect !== undefined && !isPlain(reconnect)) return;
    this.#options = { ...options, password: null, ...(reconnect === undefined ? {} : { reconnect: { ...reconnect } }) };
    this.#config = { ...config, password: null };
    this.#live = null;
  }
}

/** What is inherited, or has a class, may be more than its own properties show. */
function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function isSame(given: Record<string, unknown>, known: Readonly<Record<string, unknown>>): boolean {
  const names = Object.getOwnPropertyNames(given);
  if (names.length !== Object.keys(known).length) return false;
  for (const name of names) {
    if (!Object.hasOwn(known, name)) return false;
    if (name === "password") continue;
    const value = given[name];
    const before = known[name];
    if (value === before) continue;
    if (name !== "reconnect" || !isPlain(value) || !isPlain(before) || !isSame(value, before)) return false;
  }
  return true;
}
