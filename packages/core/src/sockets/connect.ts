import { formatEndpoint } from "../bytes/address.ts";
import type { ByteStream } from "../bytes/byte-stream.ts";
import type { ConnectTarget, DialSignal } from "../runtime.ts";
import { ConnectAttempt } from "./connect-attempt.ts";
import { hostAddresses } from "./host-addresses.ts";
import { abortError, badPath } from "./socket-errors.ts";
import { type Sockets, tlsTools } from "./sockets.ts";
import { clientTls } from "./tls-settings.ts";

/** Failures of one address after which the host's next address is tried. */
const TRY_NEXT = /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EADDRNOTAVAIL|EINVAL)$/;

/** See {@link Runtime.connect}. */
export async function connect<S>(sockets: Sockets<S>, target: ConnectTarget, signal: DialSignal): Promise<ByteStream> {
  const { path, host } = target;
  const bad = path === undefined ? null : badPath(path, `Cannot connect to ${formatEndpoint(target)}`);
  if (bad !== null) throw bad;
  const tls = target.tls === null ? null : await clientTls(target.tls, host, tlsTools(sockets));
  const needsAddress = path === undefined && target.family !== 0 && sockets.opensFamily !== true;
  const hosts = needsAddress ? await unlessAborted(addressesOf(sockets, target), signal, target) : [host];
  let failure: unknown;
  for (const address of hosts) {
    const attempt = new ConnectAttempt(sockets, target, { host: address, tls, signal });
    try {
      return await attempt.start((opening) => sockets.open(opening));
    } catch (error) {
      failure = error;
      if (signal.aborted || !TRY_NEXT.test(sockets.errors.codeOf((error as Error).cause))) break;
    }
  }
  throw failure;
}

async function addressesOf<S>(sockets: Sockets<S>, target: ConnectTarget): Promise<readonly string[]> {
  try {
    return await hostAddresses(target.host, target.family as 4 | 6, sockets.resolve);
  } catch (cause) {
    throw sockets.errors.connect(cause, target);
  }
}

/** Settles as `step` does, or rejects if the signal aborts first. */
function unlessAborted<T>(step: Promise<T>, signal: DialSignal, target: ConnectTarget): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortError(signal, target));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
    void step.then(resolve, reject).then(() => signal.removeEventListener("abort", onAbort));
  });
}
