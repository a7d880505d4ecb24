import { checkResult, checkSignal, checkTimeout, type OutgoingCallOptions } from "../connection/outgoing-calls.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import {
  type CallSettings,
  ImmediateAttempts,
  type MessageAttempts,
  type Pauses,
  type RepeatingSender,
} from "../endpoint/acknowledged-send.ts";
import {
  type CallOptions,
  type CallStreamOptions,
  resultValidator,
  type StreamOptions,
} from "../endpoint/call-options.ts";
import { withParent } from "../endpoint/nested-call.ts";
import { checkStreams, failedStream } from "../endpoint/open-stream.ts";
import { type Outgoing, RemoteCaller } from "../endpoint/remote-caller.ts";
import { type Called, ConduitError, ErrorCode, isInstance, RpcError } from "../errors.ts";
import type { Contract } from "../rpc/contract.ts";
import { ONCE_METHOD } from "../rpc/once-window.ts";
import type { ItemStream } from "../rpc/request-streams.ts";
import { StreamItems } from "../rpc/stream-items.ts";
import type { Validator } from "../rpc/validation.ts";
import { calledAs } from "../wire/called-as.ts";
import type { EncodedValue } from "../wire/encoded-value.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import { type Metadata, metadataOf } from "../wire/metadata.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { noConnection } from "./node-calls.ts";

/** The server of a {@link NodePeer}. */
export interface NodePeerHost {
  readonly context: RuntimeContext;
  readonly writer: FrameWriter;
  readonly rpcTimeoutMs: number;
  /** Null without the option `cluster`. */
  readonly cluster: ClusterNode | null;
  /** A connection of this node. */
  connection(id: string): Outgoing | undefined;
  /** Waits of redelivery, which end with the server. */
  readonly pauses: Pauses;
}

/**
 * A client on any node, by the id of its connection. Sends and calls like `Connection`. If the client is on another
 * node, `send` and `callNoWait` pass the message to the cluster without confirmation; use `call`, `request` or `send`
 * with `ack` to learn whether it arrived.
 */
export class NodePeer<C extends Contract = Contract> extends RemoteCaller<C, "client"> {
  /** Id of the connection. */
  readonly id: string;
  readonly #host: NodePeerHost;
  readonly #sender: NodeSender;

  /** @internal */
  constructor(host: NodePeerHost, id: string) {
    super();
    this.id = id;
    this.#host = host;
    this.#sender = new NodeSender(host, id);
  }

  /** Whether it is connected to this node. */
  get isLocal(): boolean {
    return this.#sender.isLocal;
  }

  /** @internal */
  protected get _outgoing(): Outgoing {
    return this.#sender;
  }

  /** @internal */
  protected override get _pauses(): Pauses {
    return this.#host.pauses;
  }

  /** @internal */
  protected override _messageAttempts(sender: Pick<RepeatingSender, "attempts" | "isOver">): MessageAttempts {
    return new NodeAttempts(new ImmediateAttempts(sender), this.#sender);
  }

  /** @internal */
  protected override get _hasEnded(): boolean {
    return this.#sender.hasEnded;
  }

  /** @internal */
  protected override _openStream(
    name: string,
    params: unknown,
    options: StreamOptions | undefined,
  ): ItemStream<unknown> {
    return this.isLocal ? super._openStream(name, params, options) : this.#sender.openStream(name, params, options);
  }

  /** @internal */
  protected override _callWithStreams(
    method: string,
    params: unknown,
    options: (CallOptions & CallStreamOptions<unknown>) | undefined,
  ): Promise<unknown> {
    if (this.isLocal) return super._callWithStreams(method, params, options);
    return this.#sender.callWithStreams(method, params, options);
  }

  /** @internal */
  protected get _runtimeContext(): RuntimeContext {
    return this.#host.context;
  }
}

/** The attempts of a message. They wait while the link is down and the client may be on another node. */
class NodeAttempts implements MessageAttempts {
  readonly #attempts: ImmediateAttempts;
  readonly #sender: NodeSender;

  constructor(attempts: ImmediateAttempts, sender: NodeSender) {
    this.#attempts = attempts;
    this.#sender = sender;
  }

  get sent(): number {
    return this.#attempts.sent;
  }

  get mustWait(): boolean {
    return this.#sender.waitsForLink;
  }

  async call(params: EncodedValue, options: CallSettings): Promise<unknown> {
    if (this.mustWait) await this.#sender.linkConnected(params, options.signal);
    return this.#attempts.call(params, options);
  }
}

/** Sends to a connection: directly if it is on this node, through the cluster otherwise. */
class NodeSender implements Outgoing {
  readonly #host: NodePeerHost;
  readonly #id: string;
  /** Whether the connection's node has answered that the connection has ended. */
  #isGone = false;

  constructor(host: NodePeerHost, id: string) {
    this.#host = host;
    this.#id = id;
  }

  get isLocal(): boolean {
    return this.#host.connection(this.#id) !== undefined;
  }

  /** Whether a message can wait until the link is connected. */
  get waitsForLink(): boolean {
    const { cluster } = this.#host;
    if (cluster === null || this.isLocal || this.hasEnded) return false;
    return cluster.mayConnect && cluster.linkWaits.hasRoom;
  }

  /** Resolves when the link is connected or closed. Rejects with CANCELLED. */
  linkConnected(params: EncodedValue, signal: AbortSignal | undefined): Promise<void> {
    const called = calledAs(ONCE_METHOD, params);
    return this.#cluster(String(called)).linkWaits.wait(called, signal);
  }

  get hasEnded(): boolean {
    return !this.isLocal && (this.#isGone || this.#host.cluster?.mayBeElsewhere(this.#id) !== true);
  }

  sendMessage(type: string, data: unknown, options?: { readonly meta?: Metadata | undefined }): boolean {
    const local = this.#host.connection(this.#id);
    if (local !== undefined) return local.sendMessage(type, data, options);
    return this.#send("send", type, this.#host.writer.encodeData(type, data), options);
  }

  callNoWait(method: string, params: unknown, options?: { readonly meta?: Metadata | undefined }): boolean {
    const local = this.#host.connection(this.#id);
    if (local !== undefined) return local.callNoWait(method, params, options);
    return this.#send("callNoWait", method, this.#host.writer.encodeParams(method, params), options);
  }

  /** Sends a message, or a call without a reply, to another node. */
  #send(
    form: "send" | "callNoWait",
    name: string,
    { bytes }: EncodedValue,
    options: { readonly meta?: Metadata | undefined } | undefined,
  ): true {
    const cluster = this.#cluster(name);
    const node = cluster.mustKnow(this.#id, name);
    cluster.calls.send(node, this.#id, form, name, bytes, metadataIn(name, options));
    return true;
  }

  async call(
    method: string,
    params: unknown,
    options: OutgoingCallOptions | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown> {
    const local = this.#host.connection(this.#id);
    if (local !== undefined) return local.call(method, params, options, validator);
    return this.#ask(
      "call",
      method,
      String(calledAs(method, params)),
      () => this.#host.writer.encodeParams(method, params),
      options,
      validator,
    );
  }

  async request(
    type: string,
    data: unknown,
    options: OutgoingCallOptions | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown> {
    const local = this.#host.connection(this.#id);
    if (local !== undefined) return local.request(type, data, options, validator);
    return this.#ask("request", type, type, () => this.#host.writer.encodeData(type, data), options, validator);
  }

  /** Messages to other nodes aren't queued here. */
  waitForRoom(): Promise<void> {
    return this.#host.connection(this.#id)?.waitForRoom() ?? Promise.resolve();
  }

  streamConnection(called: Called): ReturnType<Outgoing["streamConnection"]> {
    const local = this.#host.connection(this.#id);
    if (local !== undefined) return local.streamConnection(called);
    throw noConnection(this.#id, String(called));
  }

  /** A stream of a connection on another node. */
  openStream(name: string, params: unknown, given: StreamOptions | undefined): ItemStream<unknown> {
    try {
      const options = withParent(name, given);
      const { output, ...streams } = checkStreams(name, options);
      const { node, call } = this.#streamCall(name, params, options, options?.timeoutMs ?? 0);
      return new StreamItems(this.#cluster(name).calls.streams.open(node, { ...call, ...streams }, output));
    } catch (error) {
      return failedStream(error);
    }
  }

  /** A call with an input, or with progress, of a connection on another node. */
  async callWithStreams(
    method: string,
    params: unknown,
    options: (CallOptions & CallStreamOptions<unknown>) | undefined,
  ): Promise<unknown> {
    const { input, onProgress } = checkStreams(method, options);
    const timeoutMs = options?.timeoutMs ?? (input === undefined ? this.#host.rpcTimeoutMs : 0);
    const { node, call } = this.#streamCall(method, params, options, timeoutMs);
    const value = await this.#cluster(method).calls.streams.call(node, { ...call, input, onProgress });
    const validator = resultValidator(options);
    return validator === null ? value : validator.run(value, method);
  }

  #streamCall(name: string, params: unknown, options: OutgoingCallOptions | undefined, timeoutMs: number) {
    checkTimeout(name, timeoutMs);
    const meta = metadataIn(name, options);
    const { bytes } = this.#host.writer.encodeParams(name, params);
    const node = this.#cluster(name).mustKnow(this.#id, name);
    return { node, call: { to: this.#id, name, called: name, body: bytes, timeoutMs, signal: options?.signal, meta } };
  }

  async #ask(
    what: "call" | "request",
    name: string,
    called: string,
    encode: () => EncodedValue,
    options: OutgoingCallOptions | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown> {
    checkResult(called, options);
    checkSignal(called, options?.signal);
    const timeoutMs = options?.timeoutMs ?? this.#host.rpcTimeoutMs;
    checkTimeout(called, timeoutMs);
    const meta = metadataIn(called, options);
    const { bytes } = encode();
    const signal = options?.signal;
    const cluster = this.#cluster(called);
    const node = cluster.mustKnow(this.#id, called);
    const call = { to: this.#id, what, name, called, body: bytes, timeoutMs, signal, meta };
    let value: unknown;
    try {
      value = await cluster.calls.call(node, call);
    } catch (error) {
      const isTold = isInstance(error, ConduitError) && !isInstance(error, RpcError);
      if (isTold && error.code === ErrorCode.CONNECTION_CLOSED) this.#isGone = true;
      throw error;
    }
    return validator === null ? value : validator.run(value, called);
  }

  /** @throws ConduitError CONNECTION_CLOSED without a cluster */
  #cluster(name: string): ClusterNode {
    const { cluster } = this.#host;
    if (cluster !== null) return cluster;
    throw new ConduitError(ErrorCode.CONNECTION_CLOSED, `Cannot send '${name}': no connection ${this.#id}`);
  }
}

/** @throws ConduitError INVALID_CONFIG */
function metadataIn(name: string, options: { readonly meta?: Metadata | undefined } | undefined): Metadata | undefined {
  return metadataOf(name, options?.meta, true) ?? undefined;
}
