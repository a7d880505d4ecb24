import { connect as netConnect, type Socket } from "node:net";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import {
  abortError,
  type ByteStream,
  type ConnectTarget,
  clientFacts,
  endpointName,
  tcpEnds,
} from "@netconduit/core/adapter";
import { errors, ignore } from "./node-error.ts";
import { SHARES_READ_BUFFER, sharedReads } from "./shared-reads.ts";
import { SocketStream } from "./socket-stream.ts";
import { tlsClientOptions, tlsInfo } from "./tls.ts";

/**
 * Connects over TCP or a Unix socket, with TLS if the target says so. Aborting destroys the socket.
 * @throws ConduitError CONNECTION_REFUSED, HOST_UNREACHABLE, CONNECTION_RESET, CONNECTION_ERROR, INVALID_CONFIG or a
 * TLS code; on abort the signal's reason if that is a ConduitError, else CANCELLED.
 */
export async function connect(target: ConnectTarget, signal: AbortSignal): Promise<ByteStream> {
  const where = endpointName(target);
  if (signal.aborted) throw abortError(signal, where);
  const secure = target.tls === null ? null : await tlsClientOptions(target.tls, target.host);
  if (signal.aborted) throw abortError(signal, where);
  const { path, host, port, family } = target;
  const endpoint = path !== undefined ? { path } : { host, port, family, autoSelectFamily: family === 0 };
  const options = { ...endpoint, highWaterMark: target.bufferSize };
  const isFed = secure === null && SHARES_READ_BUFFER;

  let socket: Socket;
  try {
    if (secure !== null) socket = tlsConnect({ ...options, ...secure });
    else socket = netConnect(isFed ? { ...options, onread: sharedReads(target.bufferSize) } : options);
  } catch (cause) {
    throw errors.connect(cause, where);
  }
  try {
    return await established(socket, target, signal, where, isFed);
  } catch (error) {
    // No socket stays behind. `release` left a listener for what it may still have to say.
    socket.destroy();
    throw error;
  }
}

function established(
  socket: Socket,
  target: ConnectTarget,
  signal: AbortSignal,
  where: string,
  isFed: boolean,
): Promise<ByteStream> {
  const ready = target.tls === null ? "connect" : "secureConnect";
  return new Promise((resolve, reject) => {
    const onReady = (): void => {
      try {
        const tls = target.tls === null ? null : tlsInfo(socket as TLSSocket);
        // Built here and now: its "error" listener is in place before anything else can happen to the socket.
        const facts = clientFacts(target, where, tcpEnds(socket), tls);
        resolve(new SocketStream(socket, facts, { isFed }));
      } catch (error) {
        reject(error);
      }
      release();
    };
    const onError = (cause: Error): void => {
      reject(
        target.tls === null
          ? errors.connect(cause, where)
          : errors.clientHandshake(cause, where, { answered: socket.bytesRead > 0 }),
      );
      release();
    };
    const onClose = (): void => {
      reject(errors.connect(new Error("the socket was closed"), where));
      release();
    };
    const onAbort = (): void => {
      reject(abortError(signal, where));
      release();
    };
    const release = (): void => {
      socket.on("error", ignore);
      socket.off(ready, onReady).off("error", onError).off("close", onClose);
      signal.removeEventListener("abort", onAbort);
    };
    socket.on(ready, onReady).on("error", onError).on("close", onClose);
    signal.addEventListener("abort", onAbort);
  });
}
