import type { ClientHalf } from "./client-half.ts";
import type { Role } from "./control-lines.ts";
import type { ServerHalf } from "./server-half.ts";

/**
 * Something that a server and a client do together. Each half runs in a process of its own, on the runtime of the pair
 * under test; what one half has to know of the other it is told (`tell`, `waitFor`). Servers, clients and sockets that a
 * half made through its argument are ended once both halves have returned, the client's first.
 */
export interface Scenario {
  /** What holds, as a sentence. No two scenarios have the same. */
  readonly title: string;
  readonly server: (half: ServerHalf) => Promise<void>;
  readonly client: (half: ClientHalf) => Promise<void>;
  /** The half that kills its own process in the midst. It gets a process to itself. */
  readonly dies?: Role;
}
