/**
 * The streams of one connection: those of this side's calls, and those of the peer's.
 *
 * Memory is bounded by the receiver. Windows come out of what the connection grants in total (option `maxStreamBytes`);
 * when that is used up, a stream gets the least window. An item may be larger than its window: it takes what it needs
 * beyond that from the overdraft, which all streams of a direction share.
 */

import type { ExtensionHost, ReceivedFrame, StreamLimits } from "../../connection/extension.ts";
import { BYTES_PER_ACK } from "../../connection/send/chunk-window.ts";
import type { Continuable } from "../../context/turn-queue.ts";
import { type Called, ConduitError, cannot, ErrorCode, RpcError } from "../../errors.ts";
import {
  HEADER_BYTES,
  MAX_CHUNK_BYTES,
  MAX_GIVEN_UP_STREAMS,
  MIN_STREAM_WINDOW_BYTES,
  OPEN_STREAM_BYTES,
  STREAM_WINDOW_BYTES,
  UNCOUNTED_BYTES,
} from "../../limits.ts";
import { isCount } from "../../util/is-count.ts";
import { RenewedMap } from "../../util/renewed-map.ts";
import { Flag } from "../../wire/constants.ts";
import type { FrameWriter } from "../../wire/frame-writer.ts";
import type { PayloadReader } from "../../wire/payload-reader.ts";
import type { FrameBytes } from "../../wire/scattered-frame.ts";
import { StreamFlag, StreamFrame } from "./stream-frames.ts";
import { StreamOutlet } from "./stream-outlet.ts";
import type { ReceiverHost, StreamReceiver } from "./stream-receiver.ts";
import type { SenderHost, StreamSender } from "./stream-sender.ts";
import { StreamTurns } from "./stream-turns.ts";

/** A window of the usual size is a small part of what is left of the total, so that later streams get theirs. */
const WINDOW_SHARE = 64;
/** Streams that wait for the overdraft and are tried in one turn. */
const TRIED_PER_TURN = 64;

/** The streams of a call of this side, as frames concern them. */
export interface OwnCall {
  /** Null if it gets no items. */
  readonly output: StreamReceiver | null;
  readonly hasInput: boolean;
  inputCredit(bytes: number): void;
  inputStopped(): void;
  progressed(value: unknown): void;
}

/** The streams of a call of the peer. */
export interface PeerCall {
  /** Null if the peer may send no items. */
  readonly openInput: StreamReceiver | null;
  outputCredit(bytes: number): void;
  /** @param error as the peer sent it; null if the input ended well */
  inputEnded(error: Record<string, unknown> | null): void;
}

export class ConnectionStreams implements ReceiverHost, SenderHost, Continuable {
  readonly connection: ExtensionHost;
  readonly writer: FrameWriter;
  readonly reader: PayloadReader;
  readonly outlet: StreamOutlet;
  readonly #theirs: StreamLimits;
  readonly #ours: StreamLimits;
  readonly #calls = new RenewedMap<string | number, OwnCall>();
  readonly #peerCalls = new RenewedMap<string | number, PeerCall>();
  #givenUp = 0;
  /** Bytes left to grant as windows. */
  #windows: number;
  #heldBytes = 0;
  /** The connection's bytes for streams as last counted with all that it holds. */
  #countedBytes = 0;
  #receivedOverdraft = 0;
  #sentOverdraft = 0;
  /** Streams with an item that waits for the overdraft of others, in the order in which they are tried. */
  readonly #waitingForOverdraft = new Set<StreamSender>();
  /** How many of them haven't been tried since the overdraft last became less. */
  #untried = 0;
  /** Whether they are being tried, now or in a later turn. */
  #isTrying = false;
  /** Calls that wait until they can be sent. */
  readonly #opening = new Set<() => void>();
  #sendsOpening = false;
  /** Called when the peer has answered a call, so that one more can be sent. */
  #slotFreed: (() => void) | null = null;
  #unacknowledged = 0;
  readonly #turns: StreamTurns;

  constructor(connection: ExtensionHost, ours: StreamLimits) {
    const { settings, context } = connection;
    this.connection = connection;
    this.#ours = ours;
    this.#theirs = connection.streamLimits ?? ours;
    this.writer = context.writer(settings.maxMessageBytes, false);
    this.reader = context.reader(settings.maxMessageBytes, false);
    this.outlet = new StreamOutlet(connection);
    this.#turns = new StreamTurns(context.turns);
    this.#windows = settings.maxStreamBytes;
  }

  /** Number of calls with streams: this side's, and the peer's. */
  get counts(): { readonly own: number; readonly peer: number } {
    return { own: this.#calls.size, peer: this.#peerCalls.size };
  }

  /** Bytes of items that wait here, in both directions. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Bytes granted as windows. */
  get grantedBytes(): number {
    return this.connection.settings.maxStreamBytes - this.#windows;
  }

  // --- calls of this side -------------------------------------------------------------------------------------------

  /** @throws ConduitError TOO_MANY_STREAMS */
  mustHaveRoom(called: Called): void {
    const { streams } = this.#theirs;
    const fail = (why: string): never => {
      throw new ConduitError(ErrorCode.TOO_MANY_STREAMS, `${cannot("call", called)}: ${why}`);
    };
    // Those that were given up will be answered, and a further one waits for that.
    const open = this.#calls.size - this.#givenUp + this.#opening.size;
    if (open >= streams) fail(`${open} streams are open, and the peer takes ${streams}`);
    // The peer says how many it takes, and need not answer any of them.
    if (this.#givenUp >= MAX_GIVEN_UP_STREAMS) fail(`the peer hasn't answered ${this.#givenUp} that were given up`);
  }

  /** Calls of this side that were given up, and that the peer has not answered. */
  countGivenUp(change: number): void {
    this.#givenUp += change;
  }

  /** Whether the peer takes one more call now: it counts those that were given up until it has answered them. */
  get hasSlot(): boolean {
    return this.#calls.size < this.#theirs.streams;
  }

  /** Whether a call is sent at once: the peer takes it, the send queue has room, and no other call waits. */
  get canOpen(): boolean {
    return this.#opening.size === 0 && this.hasSlot && !this.connection.sendQueue.isCongested;
  }

  /**
   * Calls `send` when the call can be sent, behind others that wait.
   * @returns a function that takes it back
   */
  openLater(send: () => void): () => void {
    const opening = (): void => send();
    this.#opening.add(opening);
    if (!this.#sendsOpening) void this.#sendOpening();
    return () => this.#opening.delete(opening);
  }

  async #sendOpening(): Promise<void> {
    this.#sendsOpening = true;
    while (this.#opening.size > 0) {
      // If the connection ends first, each call fails by itself.
      await this.connection.sendQueue.waitForRoom().catch(() => undefined);
      if (!this.hasSlot) {
        await new Promise<void>((resolve) => {
          this.#slotFreed = resolve;
        });
        continue;
      }
      do {
        const [opening] = this.#opening;
        if (opening === undefined) break;
        this.#opening.delete(opening);
        opening();
      } while (this.hasSlot && !this.connection.sendQueue.isCongested);
    }
    this.#sendsOpening = false;
  }

  addCall(idHi: number, idLo: number, call: OwnCall): void {
    this.#calls.set(keyOf(idHi, idLo), call);
    this.#count();
  }

  deleteCall(idHi: number, idLo: number): void {
    this.#calls.delete(keyOf(idHi, idLo));
    this.#count();
    this.#slotFreed?.();
  }

  // --- calls of the peer --------------------------------------------------------------------------------------------

  /** @throws RpcError TOO_MANY_STREAMS */
  mustTakeOneMore(name: string): void {
    const { streams } = this.#ours;
    if (this.#peerCalls.size < streams) return;
    throw new RpcError(
      ErrorCode.TOO_MANY_STREAMS,
      `'${name}' can't be called with a stream: ${streams} are open, as many as maxStreams of the called side allows; end one first`,
    );
  }

  addPeerCall(idHi: number, idLo: number, call: PeerCall): void {
    this.#peerCalls.set(keyOf(idHi, idLo), call);
    this.#count();
  }

  deletePeerCall(idHi: number, idLo: number): void {
    this.#peerCalls.delete(keyOf(idHi, idLo));
    this.#count();
  }

  // --- frames -------------------------------------------------------------------------------------------------------

  receive(frame: ReceivedFrame): void {
    const { correlationHi, correlationLo } = frame;
    const key = keyOf(correlationHi, correlationLo);
    switch (frame.type) {
      case StreamFrame.INPUT:
        this.#arrived(frame);
        this.#known(this.#peerCalls.get(key)?.openInput, frame).receive(frame);
        return;
      case StreamFrame.OUTPUT:
        this.#arrived(frame);
        this.#known(this.#calls.get(key)?.output, frame).receive(frame);
        return;
      case StreamFrame.INPUT_END:
        this.#known(this.#peerCalls.get(key)?.openInput, frame);
        this.#peerCalls.get(key)?.inputEnded(this.connection.readMap(frame));
        return;
      case StreamFrame.INPUT_CREDIT:
        this.#known(this.#callWithInput(key), frame).inputCredit(this.#bytesOf(frame));
        return;
      case StreamFrame.OUTPUT_CREDIT:
        // The reply may have left in the meantime; so with the next ones.
        this.#peerCalls.get(key)?.outputCredit(this.#bytesOf(frame));
        return;
      case StreamFrame.INPUT_STOP:
        this.#calls.get(key)?.inputStopped();
        return;
      default:
        this.outlet.acknowledged(this.#bytesOf(frame));
    }
  }

  /** @throws any decoding error, which the connection reports */
  progress(frame: ReceivedFrame): void {
    const call = this.#calls.get(keyOf(frame.correlationHi, frame.correlationLo));
    call?.progressed(this.connection.readMap(frame)?.["value"] ?? null);
  }

  /** The connection has ended. Calls and requests are told by the connection. */
  closed(): void {
    this.outlet.clear();
    this.#calls.clear();
    this.#slotFreed?.();
    this.#peerCalls.clear();
    this.#waitingForOverdraft.clear();
  }

  /** Items arrived, of whatever stream. @throws ConduitError UNSUPPORTED_FLAG, INVALID_PAYLOAD_SHAPE */
  #arrived(frame: ReceivedFrame): void {
    const bytes = frame.payloadEnd - frame.payloadStart;
    if ((frame.flags & Flag.COMPRESSED) !== 0) {
      throw new ConduitError(ErrorCode.UNSUPPORTED_FLAG, "Frames with items of a stream aren't compressed");
    }
    if (bytes === 0) throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, "A frame of a stream has no items");
    // So each part takes the memory that it is charged.
    if ((frame.flags & StreamFlag.MORE) !== 0 && bytes < MAX_CHUNK_BYTES) {
      const message = `A part of an item has ${bytes} bytes; all but the last have ${MAX_CHUNK_BYTES}`;
      throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, message);
    }
    this.connection.requests.chargeItems(HEADER_BYTES + bytes);
    this.#unacknowledged += HEADER_BYTES + bytes;
    if (this.#unacknowledged < BYTES_PER_ACK && (frame.flags & Flag.ACK_NOW) === 0) return;
    this.send(StreamFrame.STREAM_ACK, 0, 0, { bytes: this.#unacknowledged });
    this.#unacknowledged = 0;
  }

  #callWithInput(key: string | number): OwnCall | undefined {
    const call = this.#calls.get(key);
    return call?.hasInput === true ? call : undefined;
  }

  /** @throws ConduitError UNKNOWN_STREAM */
  #known<T>(stream: T | null | undefined, { type, correlationHi, correlationLo }: ReceivedFrame): T {
    if (stream !== null && stream !== undefined) return stream;
    const id = `${keyOf(correlationHi, correlationLo)}`;
    const message = `A frame of type 0x${type.toString(16).padStart(4, "0")} belongs to no open stream (id ${id})`;
    throw new ConduitError(ErrorCode.UNKNOWN_STREAM, message);
  }

  /** @throws ConduitError INVALID_PAYLOAD_SHAPE */
  #bytesOf(frame: ReceivedFrame): number {
    const bytes = this.connection.readMap(frame)?.["bytes"];
    if (isCount(bytes, 1)) return bytes;
    const message = "Credit and acknowledgements of streams need bytes, an integer of at least 1";
    throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, message);
  }

  // --- for senders and receivers ------------------------------------------------------------------------------------

  send(
    type: number,
    idHi: number,
    idLo: number,
    payload: Readonly<Record<string, unknown>> | null,
    lane: "control" | "reply" = "control",
  ): void {
    if (this.connection.isOver) return;
    if (payload === null) this.connection.sendControl(type, idHi, idLo, lane);
    else this.connection.sendPayload(type, payload, lane, idHi, idLo);
  }

  encodeItem(item: unknown): Uint8Array {
    return this.writer.encodeItem(item);
  }

  wallClock(): number {
    return this.connection.context.wallClock();
  }

  mustAsk(bytes: number): boolean {
    return this.outlet.mustAsk(bytes);
  }

  pushFrame(frame: FrameBytes, lane: "reply"): void {
    this.connection.sendQueue.push(frame, lane);
  }

  get maxReceivedItemBytes(): number {
    return this.connection.settings.maxMessageBytes;
  }

  get maxSentItemBytes(): number {
    return Math.min(this.connection.settings.maxMessageBytes, this.connection.maxPeerPayloadBytes);
  }

  sendNow(sender: StreamSender): void {
    this.outlet.sendNow(sender);
  }

  sendLater(sender: StreamSender): void {
    this.outlet.sendLater(sender);
  }

  takeWindow(bytes: number): number {
    const taken = Math.max(0, Math.min(bytes, this.#windows));
    this.#windows -= taken;
    return taken;
  }

  /** The window of a new stream. */
  firstWindow(): number {
    const share = Math.floor(this.#windows / WINDOW_SHARE);
    const window = Math.max(MIN_STREAM_WINDOW_BYTES, Math.min(STREAM_WINDOW_BYTES, share));
    this.#windows -= window;
    return window;
  }

  returnWindow(bytes: number): void {
    this.#windows += bytes;
  }

  countHeld(change: number): void {
    this.#heldBytes += change;
    this.#count();
  }

  mayOverdraw(bytes: number): boolean {
    return bytes <= 0 || this.#sentOverdraft + bytes <= this.#theirs.overdraft || this.#sentOverdraft === 0;
  }

  waitForOverdraft(sender: StreamSender): void {
    this.#waitingForOverdraft.add(sender);
  }

  countSentOverdraft(change: number): void {
    this.#sentOverdraft += change;
    if (change > 0) return;
    this.#untried = this.#waitingForOverdraft.size;
    if (this.#untried > 0 && !this.#isTrying) this.continueTurn();
  }

  /**
   * Streams whose items have room now go on. The peer may have thousands of streams wait, and return one byte at a time, so
   * few are tried in one turn.
   */
  continueTurn(): void {
    this.#isTrying = true;
    for (let tried = 0; this.#untried > 0; tried += 1) {
      if (tried === TRIED_PER_TURN) {
        this.connection.context.turns.add(this);
        return;
      }
      this.#untried -= 1;
      const [sender] = this.#waitingForOverdraft;
      if (sender === undefined) break;
      this.#waitingForOverdraft.delete(sender);
      if (sender.isSendable) this.outlet.sendNow(sender);
      else if (sender.hasCredit) this.#waitingForOverdraft.add(sender);
    }
    this.#untried = 0;
    this.#isTrying = false;
  }

  countReceivedOverdraft(change: number): boolean {
    this.#receivedOverdraft += change;
    return this.#receivedOverdraft > this.#ours.overdraft;
  }

  passTurn(bytes: number): Promise<void> | null {
    return this.#turns.pass(bytes);
  }

  countTurn(bytes: number): void {
    this.#turns.count(bytes);
  }

  beginTurn(): Promise<void> | null {
    return this.#turns.begin();
  }

  /** Open streams count as well, so that many of them can't take more memory than a server's budget. */
  #count(): void {
    const open = this.#calls.size + this.#peerCalls.size;
    const { connection } = this;
    connection.streamBytes = this.#heldBytes + open * OPEN_STREAM_BYTES;
    // Small items change it a million times a second.
    if (Math.abs(connection.streamBytes - this.#countedBytes) < UNCOUNTED_BYTES) return;
    this.#countedBytes = connection.streamBytes;
    connection.countHeldBytes();
  }
}

/** An id as the key of a map. */
function keyOf(idHi: number, idLo: number): string | number {
  return idHi <= 0x1f_ffff ? idHi * 0x1_0000_0000 + idLo : `${idHi}/${idLo}`;
}
