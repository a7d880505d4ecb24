import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";

/** For a server given by address, nats.js passes no name to Node.js, which then checks this one. */
const NAME_OF_NO_NAME = "localhost";

/** Returns the error, as Node.js's `checkServerIdentity` does. */
export type NameCheck = (name: string, certificate: PeerCertificate) => Error | undefined;

/**
 * Checks the name in a NATS server's certificate. A server given by address must have a certificate for one of the
 * addresses in the option `servers`.
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
