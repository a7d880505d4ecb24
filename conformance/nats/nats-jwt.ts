import { createRequire } from "node:module";

interface KeyPair {
  getPublicKey(): string;
  getSeed(): Uint8Array;
  sign(input: Uint8Array): Uint8Array;
}
/** The module for keys in the driver's copy of nats.js. */
const { nkeys } = createRequire(new URL("../../packages/nats/package.json", import.meta.url))(
  "@nats-io/transport-node",
) as { readonly nkeys: Record<"createOperator" | "createAccount" | "createUser", () => KeyPair> };

/** Account limits: unlimited. */
const UNLIMITED = { subs: -1, conn: -1, leaf: -1, imports: -1, exports: -1, data: -1, payload: -1, wildcards: true };

/** An operator with one account, and credentials of its users, as created by `nsc`. */
export class NatsOperator {
  readonly #operator: KeyPair = nkeys.createOperator();
  readonly #account: KeyPair = nkeys.createAccount();

  /** Configuration of a server that accepts only this operator's users. */
  get config(): string {
    const operator = signed(this.#operator, this.#operator, "fleet", { type: "operator" });
    const account = signed(this.#operator, this.#account, "fleet", { type: "account", limits: UNLIMITED });
    return `operator: "${operator}"\nresolver: MEMORY\nresolver_preload { ${this.#account.getPublicKey()}: "${account}" }`;
  }

  /** Creates a user and returns the text of its `.creds` file, valid for this number of seconds. Default: without limit. */
  credentials(seconds?: number): string {
    const user = nkeys.createUser();
    const exp = seconds === undefined ? {} : { exp: Math.floor(Date.now() / 1000) + seconds };
    const jwt = signed(this.#account, user, "node", { type: "user", subs: -1, data: -1, payload: -1 }, exp);
    const seed = new TextDecoder().decode(user.getSeed());
    return [
      `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------`,
      `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
    ].join("\n\n");
  }
}

function signed(issuer: KeyPair, subject: KeyPair, name: string, nats: object, claims: object = {}): string {
  const iat = Math.floor(Date.now() / 1000);
  const body = { jti: crypto.randomUUID(), iat, iss: issuer.getPublicKey(), name, sub: subject.getPublicKey() };
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part({ ...body, ...claims, nats: { version: 2, ...nats } })}`;
  return `${text}.${Buffer.from(issuer.sign(new TextEncoder().encode(text))).toString("base64url")}`;
}
