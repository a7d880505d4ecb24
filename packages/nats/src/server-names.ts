import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";

/** For a server with an address instead of a name, nats.js gives Node.js no name to check, and Node.js takes this one. */
const NAME_OF_NO_NAME = "localhost";

/** Returns the error, as Node.js expects it. */
export type NameCheck = (name: string, certificate: PeerCertificate) => Error | undefined;

/**
 * Checks the name in the certificate of a NATS server. A server with an address must have a certificate for one of the addresses
 * in the option `servers`.
 */
export function nameCheck(servers: readonly string[]): NameCheck {
  const hosts = servers.map((server) => new URL(server).hostname.replace(/^\[|\]$/g, ""));
  const unnamed = hosts.filter((host) => isIP(host) !== 0 || host === NAME_OF_NO_NAME);
  return (name, certificate) => {
    const allowed = name === NAME_OF_NO_NAME && unnamed.length > 0 ? unnamed : [name];
    const errors = allowed.map((host) => checkServerIdentity(host, certificate));
    return errors.includes(undefined) ? undefined : errors[0];
  };
}
