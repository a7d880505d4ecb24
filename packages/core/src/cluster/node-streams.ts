/**
 * Streams of calls between nodes, in both directions.
 *
 * Theory of operation. The call lists its streams, and each item travels in a message of its own. The node that has
 * the connection forwards items to and from a stream of that connection. The call's answer ends the output. Messages
 * may be lost: items are numbered, so that a stream with a missing item fails. At each heartbeat of the other node, a
 * waiting sender repeats its position, so that a lost acknowledgement is sent again.
 */

import { callWithStreams, openStream } from "../endpoint/open-stream.ts";
import { asError, ConduitError, ErrorCode } from "../errors.ts";
import { outward } from "../extensions/streams/call-streams.ts";
import { inputError } from "../extensions/streams/peer-call-streams.ts";
import { closeSource, sendAll } from "../extensions/streams/stream-source.ts";
import type { Validator } from "../rpc/validation.ts";
import { isMap } from "../util/is-map.ts";
import { runCallback } from "../util/run-callback.ts";
import type { EncodedValue } from "../wire/encoded-value.ts";
import type { Metadata } from "../wire/metadata.ts";
import type { ClusterAddress, PublishResult } from "./driver.ts";
import { type EnvelopeHead, EnvelopeKind, valueIn } from "./envelope.ts";
import type { LocalConnection, LocalNode } from "./local-node.ts";
import type { NodeCallOptions, NodeRequests, NodeRun } from "./node-requests.ts";
import { NodeItemReceiver, NodeItemSender } from "./node-stream-ends.ts";

/** The node of {@link NodeStreams}. */
export interface NodeStreamsHost {
  readonly local: LocalNode;
  readonly requests: NodeRequests;
  publish(
    address: ClusterAddress,
    kind: EnvelopeKind,
    head: Readonly<Record<string, unknown>>,
    body?: Uint8Array,
  ): PublishResult;
  /** @throws ConduitError CLUSTER_UNAVAILABLE, MESSAGE_TOO_LARGE */
  mustPublish(
    name: string,
    address: ClusterAddress,
    kind: EnvelopeKind,
    head: Readonly<Record<string, unknown>>,
    body: Uint8Array,
  ): void;
}

/** A call with streams to a connection on another node. */
export interface RemoteStreamCall extends Pick<NodeCallOptions, "name" | "timeoutMs" | "signal"> {
  /** Id of the connection. */
  readonly to: string;
  readonly body: Uint8Array;
  readonly meta: Metadata | undefined;
  /** The source of the input; undefined for none. */
  readonly input: unknown;
  readonly onProgress: ((value: unknown) => unknown) | undefined;
}

/** Another node's call to a local connection. */
export interface PassedCall {
  readonly from: NodeRun;
  readonly id: number;
  readonly connection: LocalConnection;
  readonly name: string;
  readonly value: EncodedValue;
  readonly options: {
    readonly timeoutMs: number;
    readonly signal: AbortSignal;
    readonly meta: Metadata | undefined;
  };
}

/** One call's streams, on either node. */
interface Streams {
  readonly node: NodeRun;
  readonly name: string;
  /** Whether this node made the call. */
  readonly isOwn: boolean;
  /** The call's id; 0 until it is sent. */
  id: number;
  sender: NodeItemSender | null;
  receiver: NodeItemReceiver | null;
  /** Called when the other node requests the first item. */
  start: () => void;
  /** Whether this node has sent the end of its items. */
  hasSentEnd: boolean;
  /** The error of the input; null if it hasn't failed. */
  inputFailure: { readonly error: unknown } | null;
  isAbandoned: boolean;
  readonly progressed: (value: unknown) => void;
}

export class NodeStreams {
  readonly #host: NodeStreamsHost;
  /** By the other node's epoch, then by direction and id of the call. */
  readonly #streams = new Map<string, Map<string, Streams>>();

  constructor(host: NodeStreamsHost) {
    this.#host = host;
  }

  /** Number of running calls with streams, in both directions. */
  get size(): number {
    let size = 0;
    for (const { size: ofNode } of this.#streams.values()) size += ofNode;
    return size;
  }

  // --- calls of this node -------------------------------------------------------------------------------------------

  /** Calls a connection on another node with an input or progress. Rejects like a call, or with the input's own error. */
  call(node: NodeRun, call: RemoteStreamCall): Promise<unknown> {
    return this.#call(this.#streamsOf(node, call.name, true, call.onProgress), call, false);
  }

  /** Opens a stream to a connection on another node. Reading it throws the errors that a call rejects with. */
  open(
    node: NodeRun,
    call: RemoteStreamCall,
    check: Validator<unknown> | null,
  ): AsyncIterableIterator<unknown, undefined> {
    const streams = this.#streamsOf(node, call.name, true, call.onProgress);
    const stopping = new AbortController();
    const receiver = this.#receiver(streams, check, () => stopping.abort());
    const signal = call.signal === undefined ? stopping.signal : AbortSignal.any([call.signal, stopping.signal]);
    this.#call(streams, { ...call, signal }, true).then(
      (count) => receiver.end(null, Number(count)),
      (error: unknown) => {
        // Received items are delivered before an error, unless the caller has given up.
        if (streams.isAbandoned) receiver.abort(asError(error));
        else receiver.end(asError(error));
      },
    );
    return receiver;
  }

  async #call(streams: Streams, call: RemoteStreamCall, wantsOutput: boolean): Promise<unknown> {
    const { to, name, body, input, onProgress, timeoutMs, signal, meta } = call;
    const { requests, publish, mustPublish } = this.#host;
    const address = addressOf(streams);
    const kinds = { input: input !== undefined, output: wantsOutput, progress: onProgress !== undefined };
    const cancel = (id: number): void => {
      streams.isAbandoned = true;
      publish(address, EnvelopeKind.CANCEL, { id });
    };
    const answer = requests.call(streams.node, { name, timeoutMs, signal, cancel }, (id) => {
      streams.id = id;
      this.#add(streams);
      const head = {
        id,
        to,
        what: "streams",
        name,
        ms: wholeMs(timeoutMs),
        kinds,
        ...(meta === undefined ? {} : { meta }),
      };
      mustPublish(name, address, EnvelopeKind.CALL, head, body);
    });
    if (input !== undefined) void this.#sendInput(streams, input);
    try {
      return await answer;
    } catch (error) {
      throw streams.inputFailure === null ? error : streams.inputFailure.error;
    } finally {
      streams.sender?.abort(new ConduitError(ErrorCode.CANCELLED, `'${name}' was answered`));
      this.#delete(streams);
    }
  }

  /** Sends the input once the handler requests it. Never rejects. */
  async #sendInput(streams: Streams, input: unknown): Promise<void> {
    const { name } = streams;
    const sender = this.#sender(streams);
    await new Promise<void>((resolve) => {
      streams.start = resolve;
      sender.onAbort = resolve;
    });
    let failure: Record<string, unknown> | null = null;
    try {
      if (sender.reason !== null) await closeSource(input);
      else await sendAll(input, sender, null, name, `The option input of '${name}'`);
    } catch (error) {
      if (error !== sender.reason) {
        streams.inputFailure = { error };
        failure = outward(error);
      }
    }
    if (sender.reason !== null) return;
    streams.hasSentEnd = true;
    this.#sendControl(streams, "end", { i: sender.count, ...(failure === null ? {} : { error: failure }) });
  }

  // --- calls of other nodes -----------------------------------------------------------------------------------------

  /** Calls a local connection. Resolves with the result, or with the number of output items. */
  async run({ from, id, connection, name, value, options }: PassedCall, kinds: unknown): Promise<unknown> {
    const { input, output, progress } = isMap(kinds) ? kinds : {};
    const streams = this.#streamsOf(from, name, false);
    streams.id = id;
    this.#add(streams);
    const given = {
      ...options,
      ...(input === true ? { input: this.#receiver(streams, null, () => this.#sendControl(streams, "stop", {})) } : {}),
      ...(progress === true
        ? { onProgress: (step: unknown) => this.#sendControl(streams, "progress", {}, this.#encode(name, step)) }
        : {}),
    };
    const { signal } = options;
    const onAbort = (): void => streams.sender?.abort(asError(signal.reason));
    signal.addEventListener("abort", onAbort);
    try {
      if (output !== true) return await callWithStreams(connection, name, value, given);
      const sender = this.#sender(streams);
      await sendAll(openStream(connection, name, value, given), sender, null, name, `The stream '${name}'`);
      return sender.count;
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#delete(streams);
    }
  }

  // --- between the nodes --------------------------------------------------------------------------------------------

  /** @throws ConduitError MALFORMED_PAYLOAD */
  received({ epoch }: NodeRun, head: EnvelopeHead, body: Uint8Array): void {
    const key = keyOf(head.raw("own") !== true, head.count("id"));
    const streams = this.#streams.get(epoch)?.get(key);
    if (streams === undefined) return;
    const { name, sender, receiver } = streams;
    switch (head.text("is")) {
      case "item":
        receiver?.receive(head.count("i"), body);
        return;
      case "taken":
        streams.start();
        sender?.taken(head.count("i"));
        return;
      case "at":
        receiver?.sentSoFar(head.count("i"), head.raw("end") === true);
        return;
      case "end": {
        const error = head.raw("error");
        receiver?.end(isMap(error) ? inputError(name, error) : null, head.count("i"));
        return;
      }
      case "stop":
        sender?.abort(new ConduitError(ErrorCode.CANCELLED, `'${name}' takes no more input`));
        return;
      case "progress":
        streams.progressed(valueIn(this.#host.local.reader, body));
        return;
      default:
    }
  }

  /** On a node's heartbeat, repeats the positions of streams that wait for it. */
  heartbeatReceived({ epoch }: NodeRun): void {
    for (const streams of this.#streams.get(epoch)?.values() ?? []) {
      const { sender, isOwn, hasSentEnd } = streams;
      // The end of an input may have been lost as well.
      if (sender === null || sender.reason !== null || !(isOwn || sender.isWaiting)) continue;
      this.#sendControl(streams, "at", { i: sender.count, ...(hasSentEnd ? { end: true } : {}) });
    }
  }

  #streamsOf(node: NodeRun, name: string, isOwn: boolean, onProgress?: (value: unknown) => unknown): Streams {
    const { local } = this.#host;
    return {
      node,
      name,
      isOwn,
      id: 0,
      sender: null,
      receiver: null,
      start: () => undefined,
      hasSentEnd: false,
      inputFailure: null,
      isAbandoned: false,
      progressed(value) {
        void runCallback(
          () => onProgress?.(value),
          (error) => local.hookFailed("onProgress", error),
        );
      },
    };
  }

  #sender(streams: Streams): NodeItemSender {
    const { name } = streams;
    const sender = new NodeItemSender((number, item) => {
      const bytes = this.#encode(name, item);
      const head = this.#headOf(streams, "item", { i: number });
      this.#host.mustPublish(name, addressOf(streams), EnvelopeKind.STREAM, head, bytes);
      return bytes.length;
    });
    streams.sender = sender;
    return sender;
  }

  #receiver(streams: Streams, check: Validator<unknown> | null, stopped: () => void): NodeItemReceiver {
    const receiver = new NodeItemReceiver({
      name: streams.name,
      check,
      decode: (bytes) => valueIn(this.#host.local.reader, bytes),
      taken: (count) => {
        // Outputs start without a request.
        if (count > 0 || !streams.isOwn) this.#sendControl(streams, "taken", { i: count });
      },
      stopped,
    });
    streams.receiver = receiver;
    return receiver;
  }

  #encode(name: string, value: unknown): Uint8Array {
    return this.#host.local.writer.encodeData(name, value).bytes;
  }

  /** Sends a control message, which may be lost: it is repeated later, or is dispensable. */
  #sendControl(streams: Streams, is: string, fields: Record<string, unknown>, body?: Uint8Array): void {
    this.#host.publish(addressOf(streams), EnvelopeKind.STREAM, this.#headOf(streams, is, fields), body);
  }

  #headOf({ id, isOwn }: Streams, is: string, fields: Record<string, unknown>): Record<string, unknown> {
    return { id, is, ...fields, ...(isOwn ? { own: true } : {}) };
  }

  #add(streams: Streams): void {
    const { epoch } = streams.node;
    const known = this.#streams.get(epoch) ?? new Map<string, Streams>();
    this.#streams.set(epoch, known.set(keyOf(streams.isOwn, streams.id), streams));
  }

  #delete({ node: { epoch }, isOwn, id }: Streams): void {
    const known = this.#streams.get(epoch);
    known?.delete(keyOf(isOwn, id));
    if (known?.size === 0) this.#streams.delete(epoch);
  }
}

function keyOf(isOwn: boolean, id: number): string {
  return `${isOwn ? "own" : "their"} ${id}`;
}

function addressOf({ node }: Streams): ClusterAddress {
  return { kind: "node", name: node.id };
}

/** Rounds a time limit up to whole milliseconds; 0 for none. */
export function wholeMs(timeoutMs: number): number {
  return Math.min(Math.ceil(timeoutMs), Number.MAX_SAFE_INTEGER);
}
