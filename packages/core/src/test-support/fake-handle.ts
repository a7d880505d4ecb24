import type { Handle, HandleBinding, HandleRequest } from "../sockets/handle.ts";

/** What a fake handle does at the next opportunity, and what it was told to do. */
export interface FakeHandle extends Handle {
  readonly log: string[];
  /** Where it reads to. */
  target: Uint8Array;
  /** What was written, as far as the system took it. */
  readonly sent: number[];
  /** Writes that the system has not carried out. */
  readonly waiting: HandleRequest[];
  /** Writes wait from now on. */
  isFull: boolean;
  /** What the next write, read, reset and FIN come to. */
  readonly statuses: { write: number; read: number; reset: number; shutdown: number };
}

/** The binding of all fake handles. */
export const fakeBinding: HandleBinding = {
  WriteWrap: class WriteWrap {},
  ShutdownWrap: class ShutdownWrap {},
  streamBaseState: new Int32Array(2),
  kReadBytesOrError: 0,
  kLastWriteWasAsync: 1,
};

const state = fakeBinding.streamBaseState;

/** A handle as Node's, without a system behind it. */
export function fakeHandle(): FakeHandle {
  const log: string[] = [];
  const sent: number[] = [];
  const waiting: HandleRequest[] = [];
  const statuses = { write: 0, read: 0, reset: 0, shutdown: 0 };
  const requests: HandleRequest[] = [];
  return {
    ...{ log, sent, waiting, statuses, isFull: false, target: new Uint8Array(0), bytesRead: 0 },
    onread: () => undefined,
    get writeQueueSize() {
      return waiting.reduce((sum, { bytes }) => sum + (bytes?.length ?? 0), 0);
    },
    useUserBuffer(bytes) {
      this.target = bytes;
      log.push("prepare");
    },
    readStart() {
      log.push("read");
      return statuses.read;
    },
    readStop() {
      log.push("stop");
      return 0;
    },
    writeBuffer(request, bytes) {
      state[1] = this.isFull ? 1 : 0;
      log.push(requests.includes(request) ? "write again" : "write");
      requests.push(request);
      if (statuses.write !== 0) return statuses.write;
      if (this.isFull) waiting.push(request);
      else sent.push(...bytes);
      return 0;
    },
    shutdown(request) {
      log.push("fin");
      if (statuses.shutdown === 0) waiting.push(request);
      return statuses.shutdown;
    },
    close() {
      log.push("close");
    },
    reset() {
      log.push("reset");
      return statuses.reset;
    },
    setNoDelay(on) {
      log.push(`no delay: ${on}`);
      return 0;
    },
  };
}

/** Has `handle` read `bytes`, or come to `status`. */
export function read(handle: FakeHandle, bytes: readonly number[] | number): void {
  if (typeof bytes === "number") state[0] = bytes;
  else {
    handle.target.set(bytes);
    state[0] = bytes.length;
  }
  handle.target = handle.onread() ?? handle.target;
}

/** Has the system carry out what waits longest. */
export function complete(handle: FakeHandle, status = 0): void {
  const request = handle.waiting.shift();
  if (request === undefined) throw new Error("Nothing waits");
  if (status === 0) handle.sent.push(...(request.bytes ?? []));
  request.oncomplete?.(status);
}
