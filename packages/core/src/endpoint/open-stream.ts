/** The caller's side of calls with streams. */

import type { StreamConnection } from "../connection/connection-sender.ts";
import { checkResult, checkSignal, checkTimeout } from "../connection/outgoing-calls.ts";
import { asError, type Called, ConduitError, cannot, ErrorCode, quoted, withCallerStack } from "../errors.ts";
import { CallStreams } from "../extensions/streams/call-streams.ts";
import type { ConnectionStreams } from "../extensions/streams/connection-streams.ts";
import { stream } from "../extensions/streams/stream.ts";
import type { StreamReceiver } from "../extensions/streams/stream-receiver.ts";
import { hasItems } from "../extensions/streams/stream-source.ts";
import type { ItemStream } from "../rpc/request-streams.ts";
import { isSchema, SCHEMA_RULE } from "../rpc/schema.ts";
import { StreamItems } from "../rpc/stream-items.ts";
import { Validator } from "../rpc/validation.ts";
import { describeValue } from "../text/describe-value.ts";
import { calledAs } from "../wire/called-as.ts";
import {
  type CallOptions,
  type CallStreamOptions,
  resultValidator,
  type StreamOptions,
  type TypedStreamOptions,
} from "./call-options.ts";
import { withParent } from "./nested-call.ts";

/** Provides the connection for a call. */
interface Outgoing {
  /** @throws ConduitError CONNECTION_CLOSED */
  streamConnection(called: Called): StreamConnection;
}

/** Sends a call that returns a stream. Never throws; errors are thrown when the stream is read. */
export function openStream(
  outgoing: Outgoing,
  name: string,
  params: unknown,
  given: StreamOptions | undefined,
): ItemStream<unknown> {
  let connection: StreamConnection;
  let call: CallStreams;
  let options: StreamOptions | undefined;
  try {
    options = withParent(name, given);
    const called = calledAs(name, params);
    connection = outgoing.streamConnection(called);
    checkTimeout(called, options?.timeoutMs ?? 0);
    call = callStreams(connection, name, called, options, true);
  } catch (error) {
    return failedStream(error);
  }
  const { timeoutMs = 0, signal, meta } = options ?? {};
  const send = (leftMs: number): void => {
    connection.sender.call(name, params, { timeoutMs: leftMs, signal, meta }, null, call).then(
      () => call.settled(call.hasInputFailed ? asError(call.inputError) : null),
      (error: unknown) => call.settled(asError(call.hasInputFailed ? call.inputError : error)),
    );
  };
  call.openWith(send, () => undefined, timeoutMs, signal);
  return new StreamItems(call.output as StreamReceiver);
}

/** Sends a call with an input or progress. Rejects like `call`, or with the input's own error. */
export async function callWithStreams(
  outgoing: Outgoing,
  name: string,
  params: unknown,
  options: (CallOptions & CallStreamOptions<unknown>) | undefined,
): Promise<unknown> {
  const called = calledAs(name, params);
  const connection = outgoing.streamConnection(called);
  const call = callStreams(connection, name, called, options, false);
  const { input, signal, timeoutMs = input === undefined ? connection.settings.rpcTimeoutMs : 0 } = options ?? {};
  checkTimeout(called, timeoutMs);
  let result: unknown;
  try {
    result = await new Promise((resolve, reject) => {
      const send = (leftMs: number): void => {
        const given = { ...options, timeoutMs: leftMs };
        connection.sender.call(name, params, given, resultValidator(options), call).then(resolve, reject);
      };
      call.openWith(send, reject, timeoutMs, signal);
    });
  } catch (error) {
    const failure = call.hasInputFailed ? call.inputError : error;
    call.settled(asError(failure));
    throw failure;
  }
  if (call.hasInputFailed) throw call.inputError;
  return result;
}

function callStreams(
  connection: StreamConnection,
  name: string,
  called: Called,
  options: StreamOptions | undefined,
  wantsOutput: boolean,
): CallStreams {
  const { input, onProgress, output } = checkStreams(called, options);
  const streams = streamsOf(connection, called);
  const checks = streams.connection.itemChecks(name);
  return new CallStreams(streams, {
    name: String(called),
    input,
    inputCheck: checks?.input ?? null,
    wantsOutput,
    outputCheck: output ?? checks?.output ?? null,
    onProgress,
    progressCheck: checks?.progress ?? null,
  });
}

/** The checked options of a call's streams; `output` validates items. */
export interface CheckedStreams {
  readonly input: unknown;
  readonly onProgress: ((value: unknown) => unknown) | undefined;
  readonly output: Validator<unknown> | null;
}

/** @throws ConduitError INVALID_CONFIG */
export function checkStreams(called: Called, options: object | undefined): CheckedStreams {
  checkResult(called, options);
  checkSignal(called, (options as CallOptions | undefined)?.signal);
  const { input, onProgress, output } = (options ?? {}) as Partial<TypedStreamOptions<never>>;
  if (input !== undefined && !hasItems(input)) {
    const rule = "must be an async iterable, an iterable or a ReadableStream";
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `input of ${quoted(called)} ${rule}, got ${describeValue(input)}`);
  }
  if (onProgress !== undefined && typeof onProgress !== "function") {
    const message = `onProgress of ${quoted(called)} must be a function, got ${describeValue(onProgress)}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  if (output !== undefined && !isSchema(output)) {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `output of ${quoted(called)} ${SCHEMA_RULE}`);
  }
  return { input, onProgress, output: output === undefined ? null : new Validator(output, "result") };
}

/** @throws ConduitError PEER_UNSUPPORTED, TOO_MANY_STREAMS */
function streamsOf(connection: StreamConnection, called: Called): ConnectionStreams {
  const streams = connection.extension(stream);
  if (streams === undefined) {
    const why = "it is a netconduit peer, or one side has the option enableBackpressure: false";
    const message = `${cannot("call", called)}: the connection has no streams; ${why}`;
    throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, message);
  }
  streams.mustHaveRoom(called);
  return streams;
}

/** A stream that throws the error when it is read. */
export function failedStream(error: unknown): ItemStream<unknown> {
  return new StreamItems(failing(error));
}

async function* failing(error: unknown): AsyncGenerator<never, undefined> {
  yield await Promise.reject(withCallerStack(error));
}
