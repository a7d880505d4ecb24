/** The login: both roles, and what they agree on. */
export { ClientHandshake, type ClientHandshakeOptions, type ClientStep } from "./client-handshake.ts";
export type { AuthMethod, LocalInfo, PeerInfo } from "./peer-info.ts";
export {
  ServerAuthenticator,
  type ServerAuthenticatorOptions,
  ServerHandshake,
  type ServerStep,
} from "./server-handshake.ts";
