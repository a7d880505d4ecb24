import { connect as netConnect, type Socket } from "node:net";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { type ByteStream, ConduitError, type ConnectTarget, ErrorCode } from "@netconduit/core/adapter";
import { endpointName, ignore } from "./node-error.ts";
import { connectError } from "./socket-error.ts";
import { SocketStream } from "./socket-stream.ts";
import { tcpAddresses } from "./tcp-addresses.ts";
import { tlsClientOptions, tlsInfo } from "./tls.ts";
import { clientHandshakeError, refusedCertificateError } from "./tls-error.ts";

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
  const endpoint =
    target.path !== undefined
      ? { path: target.path }
      : {
          host: target.host,
          port: target.port,
          family: target.family,
          autoSelectFamily: target.family === 0,
        };
  const options = { ...endpoint, highWaterMark: target.bufferSize };

  let socket: Socket;
  try {
    socket = secure === null ? netConnect(options) : tlsConnect({ ...options, ...secure });
  } catch (cause) {
    throw connectError(cause, where);
  }
  try {
    return await established(socket, target, signal, where);
  } catch (error) {
    // No socket stays behind. `release` left a listener for what it may still have to say.
    socket.destroy();
    throw error;
  }
}

function established(socket: Socket, target: ConnectTarget, signal: AbortSignal, where: string): Promise<ByteStream> {
  const ready = target.tls === null ? "connect" : "secureConnect";
  return new Promise((resolve, reject) => {
    let connected = false;
    const onConnect = (): void => {
      connected = true;
    };
    const onReady = (): void => {
      try {
        // Built here and now: its "error" listener is in place before anything else can happen to the socket.
        resolve(streamOf(socket, target, where));
      } catch (error) {
        reject(error);
      }
      release();
    };
    const onError = (cause: Error): void => {
      const tls = target.tls === null ? null : clientHandshakeError(cause, where, connected, socket.bytesRead > 0);
      reject(tls ?? connectError(cause, where));
      release();
    };
    const onClose = (): void => {
      reject(connectError(new Error("the socket was closed"), where));
      release();
    };
    const onAbort = (): void => {
      reject(abortError(signal, where));
      release();
    };
    const release = (): void => {
      socket.on("error", ignore);
      socket.off("connect", onConnect).off(ready, onReady).off("error", onError).off("close", onClose);
      signal.removeEventListener("abort", onAbort);
    };
    socket.on("connect", onConnect).on(ready, onReady).on("error", onError).on("close", onClose);
    signal.addEventListener("abort", onAbort);
  });
}

function streamOf(socket: Socket, target: ConnectTarget, where: string): ByteStream {
  const addresses =
    target.path === undefined
      ? tcpAddresses(socket)
      : ({
          local: { kind: "unix", path: "" },
          remote: { kind: "unix", path: target.path },
        } as const);
  if (addresses === null) {
    throw new ConduitError(ErrorCode.CONNECTION_RESET, `Cannot connect to ${where}: the peer closed it at once`);
  }
  const tls = target.tls === null ? null : tlsInfo(socket as TLSSocket);
  if (tls !== null && !tls.peerVerified) {
    throw new ConduitError(ErrorCode.TLS_UNTRUSTED, `TLS handshake with ${where} failed: the server is not verified`);
  }
  const highWaterMark = target.bufferSize;
  // In TLS 1.3 a client's handshake is done before the server has looked at its certificate, and Node's server
  // refuses one by hanging up, without an alert.
  const silentEnd =
    target.tls?.cert === undefined ? undefined : (cause?: Error) => refusedCertificateError(where, cause);
  return new SocketStream(socket, {
    ...addresses,
    tls,
    role: "client",
    highWaterMark,
    silentEnd,
  });
}

function abortError(signal: AbortSignal, where: string): ConduitError {
  const cause: unknown = signal.reason;
  if (cause instanceof ConduitError) return cause;
  return new ConduitError(ErrorCode.CANCELLED, `Connecting to ${where} was cancelled`, { cause });
}
