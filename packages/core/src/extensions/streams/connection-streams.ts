/**
 * The streams of one connection, of this side's calls and of the peer's.
 *
 * The receiver bounds the memory. Windows are taken from the connection's total (option `maxStreamBytes`); when that
 * is used up, a stream gets the minimum window. An item may be larger than its window: the excess is taken from the
 * overdraft, which all streams of a direction share.
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
import { frameTypeText } from "../../wire/frame-types.ts";
import type { FrameWriter } from "../../wire/frame-writer.ts";
import type { PayloadReader } from "../../wire/payload-reader.ts";
import type { FrameBytes } from "../../wire/scattered-frame.ts";
import { StreamFlag, StreamFrame } from "./stream-frames.ts";
import { StreamOutlet } from "./stream-outlet.ts";
import type { ReceiverHost, StreamReceiver } from "./stream-receiver.ts";
import type { SenderHost, StreamSender } from "./stream-sender.ts";
import { StreamTurns } from "./stream-turns.ts";

/** A new window takes at most this fraction of the remaining total, so that later streams get theirs. */
const WINDOW_SHARE = 64;
/** Number of streams waiting for the overdraft to try in one turn. */
const TRIED_PER_TURN = 64;

/** The streams of one of this side's calls, for incoming frames. */
export interface OwnCall {
  /** Null if the call has no output. */
  readonly output: StreamReceiver | null;
  readonly hasInput: boolean;
  inputCredit(bytes: number): void;
  inputStopped(): void;
  progressed(value: unknown): void;
}

/** The streams of one of the peer's calls, for incoming frames. */
export interface PeerCall {
  /** Null if the peer may send no items. */
  readonly openInput: StreamReceiver | null;
  outputCredit(bytes: number): void;
  /** @param error as sent by the peer; null if the input ended normally */
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
  /** Bytes of streams as last included in the connection's held bytes. */
  #countedBytes = 0;
  #receivedOverdraft = 0;
  #sentOverdraft = 0;
  /** Streams with an item that waits for the overdraft, in the order in which they are tried. */
  readonly #waitingForOverdraft = new Set<StreamSender>();
  /** Number of those that weren't tried since the overdraft last decreased. */
  #untried = 0;
  /** Whether trying is in progress, possibly in a later turn. */
  #isTrying = false;
  /** Calls that wait until they can be sent. */
  readonly #opening = new Set<() => void>();
  #sendsOpening = false;
  /** Called when the peer has answered a call, so that another one can be sent. */
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

  /** Number of this side's and of the peer's calls with streams. */
  get counts(): { readonly own: number; readonly peer: number } {
    return { own: this.#calls.size, peer: this.#peerCalls.size };
  }

  /** Bytes of items buffered here, in both directions. */
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
    // Abandoned calls will be answered, and further calls wait for that.
    const open = this.#calls.size - this.#givenUp + this.#opening.size;
    if (open >= streams) fail(`${open} streams are open, and the peer takes ${streams}`);
    // A peer that never answers must not make this side keep an unlimited number.
    if (this.#givenUp >= MAX_GIVEN_UP_STREAMS) fail(`the peer hasn't answered ${this.#givenUp} abandoned ones`);
  }

  /** Updates the number of abandoned calls that the peer hasn't answered. */
  countGivenUp(change: number): void {
    this.#givenUp += change;
  }

  /** Whether the peer accepts one more call now. It counts abandoned calls until it has answered them. */
  get hasSlot(): boolean {
    return this.#calls.size < this.#theirs.streams;
  }

  /** Whether a call can be sent immediately: the peer accepts it, the send queue has room, and no other call waits. */
  get canOpen(): boolean {
    return this.#opening.size === 0 && this.hasSlot && !this.connection.sendQueue.isCongested;
  }

  /**
   * Calls `send` when the call can be sent, after other waiting calls.
   * @returns a function that withdraws it
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
      // If the connection ends first, each call is failed elsewhere.
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
        // The call may have been answered in the meantime; the same applies below.
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

  /** The connection has ended; it notifies calls and requests itself. */
  closed(): void {
    this.outlet.clear();
    this.#calls.clear();
    this.#slotFreed?.();
    this.#peerCalls.clear();
    this.#waitingForOverdraft.clear();
  }

  /** Counts a frame with items of any stream. @throws ConduitError UNSUPPORTED_FLAG, INVALID_PAYLOAD_SHAPE */
  #arrived(frame: ReceivedFrame): void {
    const bytes = frame.payloadEnd - frame.payloadStart;
    if ((frame.flags & Flag.COMPRESSED) !== 0) {
      throw new ConduitError(ErrorCode.UNSUPPORTED_FLAG, "Frames with items of a stream aren't compressed");
    }
    if (bytes === 0) throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, "A frame of a stream has no items");
    // A minimum size, so that each part uses the memory that it is charged.
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
    const message = `A frame of type ${frameTypeText(type)} belongs to no open stream (id ${id})`;
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
   * Continues streams whose items now fit into the overdraft. A few per turn, because a peer may make thousands of
   * streams wait, and return one byte at a time.
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

  /** Updates the connection's held bytes. Open streams also count, so that many of them can't exceed a server's budget. */
  #count(): void {
    const open = this.#calls.size + this.#peerCalls.size;
    const { connection } = this;
    connection.streamBytes = this.#heldBytes + open * OPEN_STREAM_BYTES;
    // Skip small changes, which occur up to a million times a second.
    if (Math.abs(connection.streamBytes - this.#countedBytes) < UNCOUNTED_BYTES) return;
    this.#countedBytes = connection.streamBytes;
    connection.countHeldBytes();
  }
}

/** An id as the key of a map. */
function keyOf(idHi: number, idLo: number): string | number {
  return idHi <= 0x1f_ffff ? idHi * 0x1_0000_0000 + idLo : `${idHi}/${idLo}`;
}
