/** Calls between nodes, from this node to remote connections and from other nodes to local ones. */

import { asConduitError, ConduitError, ErrorCode, isInstance, RpcError } from "../errors.ts";
import { isMap } from "../util/is-map.ts";
import { calledAs, isReserved } from "../wire/called-as.ts";
import { EncodedValue } from "../wire/encoded-value.ts";
import type { Metadata } from "../wire/metadata.ts";
import type { ClusterAddress } from "./driver.ts";
import { type EnvelopeHead, EnvelopeKind, malformed, type NodeIdentity, valueIn } from "./envelope.ts";
import type { Node } from "./membership.ts";
import type { NodeAnswer, NodeRun } from "./node-requests.ts";
import { NodeStreams, type NodeStreamsHost, type PassedCall, wholeMs } from "./node-streams.ts";
import { OpenCalls } from "./open-calls.ts";

/** A call to a connection on another node. */
export interface RemoteCall {
  /** Id of the connection. */
  readonly to: string;
  readonly what: "call" | "request";
  readonly name: string;
  /** The called method, for error messages. */
  readonly called: string;
  readonly body: Uint8Array;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  readonly meta: Metadata | undefined;
}

/** The node of {@link NodeCalls}. */
export interface NodeCallsHost extends NodeStreamsHost {
  /** @throws ConduitError MESSAGE_TOO_LARGE */
  mustFit(name: string, body: Uint8Array): void;
}

export class NodeCalls {
  readonly streams: NodeStreams;
  readonly #host: NodeCallsHost;
  /** Running calls from other nodes, by epoch and id. */
  readonly #running = new Map<string, AbortController>();
  readonly #open: OpenCalls;

  constructor(host: NodeCallsHost) {
    this.#host = host;
    this.streams = new NodeStreams(host);
    this.#open = new OpenCalls(() => host.local.context.runtime.now());
  }

  /** This node has left the cluster. */
  stop(): void {
    for (const controller of this.#running.values()) controller.abort();
    this.#running.clear();
    this.#open.clear();
  }

  /** A node has left: aborts its calls. */
  nodeLeft({ epoch }: Node): void {
    for (const [key, controller] of [...this.#running]) if (key.startsWith(`${epoch}/`)) controller.abort();
  }

  /**
   * Aborts calls from runs that aren't known to be alive. They arrived after the run had left, so `nodeLeft` won't be
   * called.
   * @param ageMs keeps younger calls, which may have arrived before the first heartbeat of their node
   */
  endForgotten(isAlive: (epoch: string) => boolean, ageMs: number): void {
    for (const epoch of this.#open.epochs) {
      if (isAlive(epoch)) continue;
      for (const id of this.#open.takeDue(epoch, ageMs)) this.#running.get(`${epoch}/${id}`)?.abort();
    }
  }

  // --- of this node -------------------------------------------------------------------------------------------------

  /**
   * Sends a message to a connection on another node, or calls a method without waiting for its answer.
   * @throws ConduitError CLUSTER_UNAVAILABLE, MESSAGE_TOO_LARGE
   */
  send(
    { id }: Node,
    to: string,
    what: "send" | "callNoWait",
    name: string,
    body: Uint8Array,
    meta: Metadata | undefined,
  ): void {
    const head = { to, what, name, ...(meta === undefined ? {} : { meta }) };
    this.#host.mustPublish(name, { kind: "node", name: id }, EnvelopeKind.MESSAGE, head, body);
  }

  /**
   * Calls a connection on another node. Rejects with what its node's call rejects with, NODE_UNAVAILABLE, CLUSTER_UNAVAILABLE,
   * TIMEOUT, CANCELLED or MESSAGE_TOO_LARGE.
   */
  call(node: Node, { to, what, name, called, body, timeoutMs, signal, meta }: RemoteCall): Promise<unknown> {
    const host = this.#host;
    const address = { kind: "node", name: node.id } as const;
    const cancel = (id: number): void => void host.publish(address, EnvelopeKind.CANCEL, { id });
    return host.requests.call(node, { name: called, timeoutMs, signal, cancel }, (id) => {
      const head = { id, to, what, name, ms: wholeMs(timeoutMs), ...(meta === undefined ? {} : { meta }) };
      host.mustPublish(called, address, EnvelopeKind.CALL, head, body);
    });
  }

  // --- of other nodes -----------------------------------------------------------------------------------------------

  /** Delivers a message to a local connection. Returns false if the connection has ended; throws if it rejects the message. */
  deliver(head: EnvelopeHead, body: Uint8Array): boolean {
    const connection = this.#host.local.connection(head.text("to"));
    const name = nameIn(head, "name");
    const options = { meta: head.raw("meta") as Metadata | undefined };
    if (connection === undefined) return false;
    const what = head.text("what");
    if (what === "callNoWait") connection.callNoWait(name, new EncodedValue(body), options);
    else if (what === "send") connection.sendMessage(name, new EncodedValue(body), options);
    else throw malformed("what", "a known kind of message");
    return true;
  }

  /** Runs another node's call to a local connection. */
  async run(from: NodeIdentity, head: EnvelopeHead, body: Uint8Array): Promise<void> {
    const controller = new AbortController();
    let id = 0;
    let key = "";
    try {
      id = head.count("id");
      key = `${from.epoch}/${id}`;
      const [to, name] = [head.text("to"), nameIn(head, "name")];
      const connection = this.#host.local.connection(to);
      if (connection === undefined) throw noConnection(to, name);
      this.#running.set(key, controller);
      this.#open.add(from.epoch, id);
      const meta = head.raw("meta") as Metadata | undefined;
      const options = { timeoutMs: head.count("ms"), signal: controller.signal, meta };
      const value = this.#paramsOf(name, body);
      const result = await this.#run(head, { from, id, connection, name, value, options });
      if (this.#running.get(key) === controller) this.answer(from, id, { value: result });
    } catch (error) {
      if (id > 0 && !controller.signal.aborted) this.answer(from, id, { error: asConduitError(error) });
    } finally {
      if (this.#running.get(key) === controller) {
        this.#running.delete(key);
        this.#open.delete(from.epoch, id);
      }
    }
  }

  #paramsOf(name: string, body: Uint8Array): EncodedValue {
    if (!isReserved(name)) return new EncodedValue(body, name);
    const decoded = this.#host.local.reader.readItem(body, 0, body.length);
    return new EncodedValue(body, calledAs(name, decoded), decoded);
  }

  #run(head: EnvelopeHead, call: PassedCall): Promise<unknown> {
    const { connection, name, value, options } = call;
    const what = head.text("what");
    if (what === "streams") return this.streams.run(call, head.raw("kinds"));
    if (what === "call") return connection.call(name, value, options, null);
    if (what === "request") return connection.request(name, value, options, null);
    throw new ConduitError(
      ErrorCode.PEER_UNSUPPORTED,
      `Cannot call '${name}': this node doesn't know calls of the kind '${what}'`,
    );
  }

  /** Calls from a run that started, or were last returned from here, at least this long ago. */
  callsToCheck(epoch: string, runMs: number): number[] {
    return this.#open.takeDue(epoch, runMs);
  }

  /** Whether a call from a run is still running. */
  isRunning(epoch: string, id: number): boolean {
    return this.#running.has(`${epoch}/${id}`);
  }

  /** Cancels another node's call. */
  cancel({ epoch }: NodeRun, id: number): void {
    this.#running.get(`${epoch}/${id}`)?.abort();
  }

  /** Sends an answer to another node. If it can't be sent, sends the error instead. Never throws. */
  answer(to: NodeIdentity, id: number, answer: NodeAnswer): void {
    const address = { kind: "node", name: to.id } as const;
    if ("error" in answer) {
      this.#answerError(address, id, answer.error);
      return;
    }
    try {
      const { bytes } = this.#host.local.writer.encodeData("answer", answer.value);
      this.#host.mustFit("the answer", bytes);
      this.#host.publish(address, EnvelopeKind.ANSWER, { id }, bytes);
    } catch (error) {
      this.#answerError(address, id, asConduitError(error));
    }
  }

  /** Sends an error; only its code if it can't be encoded or is too large. */
  #answerError(address: ClusterAddress, id: number, given: ConduitError): void {
    const { code, message, details } = given;
    const kind = isInstance(given, RpcError) ? { rpc: true } : {};
    const whole = { code, message, ...(details === undefined ? {} : { details }), ...kind };
    if (this.#trySendError(address, { id, error: whole })) return;
    this.#trySendError(address, { id, error: { code, message: UNSENDABLE, ...kind } });
  }

  /** Returns false if the error can't be encoded, or is too large. */
  #trySendError(address: ClusterAddress, head: Readonly<Record<string, unknown>>): boolean {
    try {
      return this.#host.publish(address, EnvelopeKind.ANSWER, head) !== "too-large";
    } catch {
      return false;
    }
  }

  /** Decodes another node's answer. @throws ConduitError MALFORMED_PAYLOAD */
  answerIn(head: EnvelopeHead, body: Uint8Array): NodeAnswer {
    const error = head.raw("error");
    if (error === undefined) return { value: valueIn(this.#host.local.reader, body) };
    if (!isMap(error)) throw malformed("error", "a map");
    const { code, message, details, rpc } = error;
    const Class = rpc === true ? RpcError : ConduitError;
    const known = Number.isSafeInteger(code) ? (code as number) : ErrorCode.UNKNOWN;
    const text = typeof message === "string" ? message : "";
    return { error: new Class(known, text, isMap(details) ? { details } : {}) };
  }
}

const UNSENDABLE = "The message and the details of this error can't be sent to another node";

export function noConnection(id: string, name: string): ConduitError {
  return new ConduitError(ErrorCode.CONNECTION_CLOSED, `Cannot send '${name}': no node has a connection ${id}`);
}

/** Reads a message type or method name, which may be any text. @throws ConduitError MALFORMED_PAYLOAD */
export function nameIn(head: EnvelopeHead, key: string): string {
  const name = head.raw(key);
  if (typeof name === "string") return name;
  throw malformed(key, "a text");
}
