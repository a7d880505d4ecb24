import type { ClientHalf } from "./client-half.ts";
import type { Role } from "./control-lines.ts";
import type { ServerHalf } from "./server-half.ts";

/**
 * A test in two halves, a server and a client, each in its own process. The halves exchange facts (`tell`,
 * `waitFor`). Servers and clients created through a half's argument are closed when both halves have returned, the
 * client's first.
 */
export interface Scenario {
  /** A unique sentence that states the behaviour. */
  readonly title: string;
  readonly server: (half: ServerHalf) => Promise<void>;
  readonly client: (half: ClientHalf) => Promise<void>;
  /** The half that kills its own process, which isn't shared with other scenarios. */
  readonly dies?: Role;
}
