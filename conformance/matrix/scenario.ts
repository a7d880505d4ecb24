import type { ClientHalf } from "./client-half.ts";
import type { Role } from "./control-lines.ts";
import type { ServerHalf } from "./server-half.ts";

/**
 * A test in two halves, a server's and a client's, each in a process of its own. The halves tell each other facts (`tell`,
 * `waitFor`). Servers and clients that a half made through its argument are ended once both halves have returned, the
 * client's first.
 */
export interface Scenario {
  /** A sentence that states the behaviour; unique. */
  readonly title: string;
  readonly server: (half: ServerHalf) => Promise<void>;
  readonly client: (half: ClientHalf) => Promise<void>;
  /** The half that kills its own process. It gets a process to itself. */
  readonly dies?: Role;
}
