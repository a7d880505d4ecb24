/**
 * A model of two ends that grant each other credit, using the real queues, scheduler and extensions over two
 * in-memory streams. An explorer runs all short plans of steps, and fast-check runs long ones. No end may receive
 * more than it granted, and when everything is consumed, all credit must have been returned.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ByteStream } from "../bytes/byte-stream.ts";
import { memoryPair } from "../bytes/memory-pair.ts";
import { RuntimeContext } from "../context/runtime-context.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { chunk } from "../extensions/chunk.ts";
import { CREDIT_FRAME, credit } from "../extensions/credit.ts";
import { HEADER_BYTES, MAX_CHUNK_BYTES } from "../limits.ts";
import type { IncomingRequest } from "../rpc/incoming-request.ts";
import { FakeRuntime } from "../test-support/fake-runtime.ts";
import { plansUpTo } from "../test-support/plans.ts";
import { FrameType } from "../wire/constants.ts";
import { FrameDecoder } from "../wire/frame-decoder.ts";
import { anyFrameType } from "../wire/frame-types.ts";
import { writeHeader } from "../wire/frame-writer.ts";
import type { ExtensionHost } from "./extension.ts";
import { type RequestFrame, wireBytes } from "./receive/queued-frame.ts";
import { ReceiveCredit } from "./receive/receive-credit.ts";
import { RequestScheduler } from "./receive/request-scheduler.ts";
import { SendCredit } from "./send/send-credit.ts";
import { type RequestOwner, SendQueue } from "./send/send-queue.ts";

/** Small, so that senders wait often. */
const GRANT = { frames: 3, bytes: 150_000 };
/** Size of frames that are sent in one piece. */
const SMALL_BYTES = 40;
/** Size of frames that are sent in two chunks. */
const LARGE_BYTES = MAX_CHUNK_BYTES + 1000;
const CANCEL_FRAME = 0x0102;
const MAX_BYTES = 1024 * 1024;

/** Shared by all frames; only the first bytes differ. */
const PADDING = new Uint8Array(HEADER_BYTES + LARGE_BYTES);

/** A deliberate fault of both ends. */
interface Fault {
  /** Returns a frame's credit when it arrives instead of when it is consumed. */
  readonly returnsEarly?: boolean;
  readonly returnsTwice?: boolean;
  /** Neither charges nor returns credit for frames in chunks. */
  readonly forgetsChunks?: boolean;
  /** Sends frames in chunks without spending credit. */
  readonly sendsChunksFree?: boolean;
  /** Returns no credit for a frame whose sender aborted its chunks. */
  readonly forgetsAborted?: boolean;
  /** Returns no credit for requests that are cancelled while waiting. */
  readonly forgetsCancelled?: boolean;
  /** Loses the credit of withdrawn requests. */
  readonly losesWithdrawn?: boolean;
  /** Reclaims credit of withdrawn requests that they haven't spent. */
  readonly refundsHeld?: boolean;
}

const ACTIONS = [
  "sends",
  "sends in chunks",
  "calls",
  "calls in chunks",
  "gives up a call",
  "finishes a handler",
  "reads, or stops",
] as const;
type Action = (typeof ACTIONS)[number];
/** At most two deliveries are pending: one to each end. */
type Step = `${"a" | "b"} ${Action}` | "the next delivery" | "the last delivery";

const STEPS: readonly Step[] = [
  ...ACTIONS.flatMap((action): Step[] => [`a ${action}`, `b ${action}`]),
  "the next delivery",
  "the last delivery",
];

/** Steps of short plans: one end sends requests and the other answers. */
const FEW_STEPS: readonly Step[] = [
  "a sends",
  "a calls",
  "a calls in chunks",
  "a gives up a call",
  "b finishes a handler",
  "the next delivery",
  "the last delivery",
];

type ChunkState = Parameters<NonNullable<typeof chunk.receive>>[0];

class StepRuntime extends FakeRuntime {
  readonly tasks: (() => void)[] = [];
  override nextTurn(task: () => void): void {
    this.tasks.push(task);
  }
}

class LossyCredit extends SendCredit {
  readonly #fault: Fault;

  constructor(fault: Fault) {
    super(GRANT.frames, GRANT.bytes);
    this.#fault = fault;
  }

  override begin(bytes: number): boolean {
    return this.#fault.sendsChunksFree === true ? this.isOpen : super.begin(bytes);
  }

  override refund(bytes: number, isOrdered: boolean): void {
    if (this.#fault.losesWithdrawn !== true) super.refund(bytes, isOrdered);
  }
}

/** A call that its caller may cancel. */
interface Call extends RequestOwner {
  readonly id: number;
}

/** A violation: an end was sent too much or holds too much. */
class Broken extends ConduitError {
  constructor(message: string) {
    super(ErrorCode.INTERNAL, message);
  }
}

const SETTINGS = {
  sendQueueSize: 5,
  sendQueueBytes: MAX_BYTES,
  receiveQueueSize: GRANT.frames,
  receiveQueueBytes: GRANT.bytes,
  handlerConcurrency: 1,
  maxMessageBytes: MAX_BYTES,
};

class End {
  readonly settings: typeof SETTINGS;
  readonly features = { hasCredit: true };
  readonly isOver = false;
  readonly context: RuntimeContext;
  readonly stream: ByteStream;
  readonly sendQueue: SendQueue;
  readonly scheduler: RequestScheduler<null>;
  /** Numbers of the messages sent, and of those handled here. */
  readonly sent: number[] = [];
  readonly handled: number[] = [];
  /** Calls made and not withdrawn, and those that were answered. */
  readonly calls = new Set<number>();
  readonly answered: number[] = [];
  unfinished: unknown = null;
  isPaused = false;
  hasSentChunks = false;
  readonly #fault: Fault;
  readonly #credit: ReceiveCredit;
  readonly #decoder = new FrameDecoder(MAX_BYTES, anyFrameType);
  readonly #chunks: ChunkState;
  readonly #running: IncomingRequest<null>[] = [];
  readonly #open: Call[] = [];
  #cancels = false;
  #lastNumber = 0;

  constructor(context: RuntimeContext, stream: ByteStream, sendQueueSize: number, fault: Fault) {
    this.context = context;
    this.settings = { ...SETTINGS, sendQueueSize };
    this.stream = stream;
    this.#fault = fault;
    this.sendQueue = new SendQueue(this);
    this.sendQueue.useCredit(new LossyCredit(fault));
    this.sendQueue.useChunks({ messages: 8, bytes: MAX_BYTES });
    this.#credit = new ReceiveCredit(this, GRANT.frames, GRANT.bytes);
    this.#chunks = chunk.makeState?.(this.#host) as ChunkState;
    this.scheduler = new RequestScheduler<null>(this);
    this.scheduler.activate();
    stream.open({
      data: (bytes) => this.#data(bytes),
      drained: () => this.sendQueue.streamDrained(),
      closed: () => {},
    });
  }

  get #host(): ExtensionHost {
    return this as unknown as ExtensionHost;
  }

  // --- steps --------------------------------------------------------------------------------------------------------

  send(bytes: number): void {
    const number = this.#push(FrameType.MESSAGE, bytes, null);
    if (number > 0) this.sent.push(number);
  }

  call(bytes: number): void {
    const call: Call = { id: this.#lastNumber + 1, unsent: null, wireTimeoutMs: 0 };
    if (this.#push(FrameType.RPC_REQUEST, bytes, call) === 0) return;
    this.calls.add(call.id);
    this.#open.push(call);
  }

  giveUp(): void {
    const call = this.#open.pop();
    if (call === undefined) return;
    const { hasHeld } = this.sendQueue;
    if (!this.sendQueue.withdraw(call)) {
      this.#control(CANCEL_FRAME, call.id);
      return;
    }
    this.calls.delete(call.id);
    if (this.#fault.refundsHeld === true && hasHeld) this.sendQueue.addCredit(1, SMALL_BYTES);
  }

  finish(): void {
    const request = this.#running.shift();
    if (request === undefined) return;
    this.#reply(request.idLo);
    this.scheduler.handlerSettled(request);
  }

  setPaused(isPaused: boolean): void {
    this.isPaused = isPaused;
    if (isPaused) this.stream.pause();
    else this.stream.resume();
  }

  /** Whether there is nothing left to do. */
  get isIdle(): boolean {
    return this.#running.length === 0 && this.scheduler.queuedHandlers === 0 && this.sendQueue.bufferedBytes === 0;
  }

  /** Sends a frame immediately or not at all. Returns its number; 0 if there is no space for it. */
  #push(type: number, bytes: number, owner: RequestOwner | null): number {
    const frame = { bytes: PADDING.slice(0, HEADER_BYTES + bytes), start: 0, end: HEADER_BYTES + bytes, large: null };
    if (!this.sendQueue.hasRoomFor(frame)) return 0;
    this.#lastNumber += 1;
    if (bytes === LARGE_BYTES) this.hasSentChunks = true;
    writeHeader(frame.bytes, 0, type, bytes, this.#lastNumber, 0);
    this.sendQueue.push(frame, "message", owner);
    return this.#lastNumber;
  }

  #control(type: number, id: number): void {
    const bytes = new Uint8Array(HEADER_BYTES);
    writeHeader(bytes, 0, type, 0, id, 0);
    this.sendQueue.push({ bytes, start: 0, end: HEADER_BYTES, large: null }, "control");
  }

  #reply(id: number): void {
    const bytes = new Uint8Array(HEADER_BYTES);
    writeHeader(bytes, 0, FrameType.RPC_RESPONSE, 0, id, 0);
    this.sendQueue.push({ bytes, start: 0, end: HEADER_BYTES, large: null }, "reply");
  }

  // --- receiving ----------------------------------------------------------------------------------------------------

  #data(chunkOfStream: Uint8Array): void {
    this.#decoder.push(chunkOfStream);
    while (this.#decoder.next()) this.#frame(this.#decoder);
    this.#decoder.keepRest();
  }

  #frame(frame: FrameDecoder): void {
    switch (frame.type) {
      case FrameType.MESSAGE:
      case FrameType.RPC_REQUEST:
        this.requests.charge(wireBytes(frame));
        this.#submit(frame);
        return;
      case FrameType.RPC_RESPONSE:
        this.answered.push(frame.correlationLo);
        return;
      case CANCEL_FRAME:
        this.#cancels = this.#fault.forgetsCancelled === true;
        this.scheduler.cancel(frame.correlationHi, frame.correlationLo);
        this.#cancels = false;
        return;
      case CREDIT_FRAME:
        credit.receive?.(this.#host, frame);
        return;
      default:
        chunk.receive?.(this.#chunks, frame);
    }
  }

  #submit(frame: FrameDecoder): void {
    this.scheduler.submit(frame);
    const { queuedHandlers, queuedBytes } = this.scheduler;
    if (queuedHandlers > GRANT.frames || queuedBytes > GRANT.bytes + HEADER_BYTES + LARGE_BYTES) {
      throw new Broken(`${queuedHandlers} frames of ${queuedBytes} bytes wait`);
    }
  }

  // --- the connection, for its parts ---------------------------------------------------------------------------------

  readonly requests = {
    charge: (length: number): void => {
      if (!this.#credit.charge(length)) throw new Broken("a frame came without credit");
      if (this.#fault.returnsEarly === true) this.#credit.release(length);
    },
    frameBegun: (type: number, length: number): void => {
      if (isRequest(type) && this.#fault.forgetsChunks !== true) this.requests.charge(length);
    },
    frameAborted: (type: number, length: number): void => {
      if (isRequest(type) && this.#fault.forgetsAborted !== true) this.requestTaken(length);
    },
  };

  frameAssembled(frame: FrameDecoder): void {
    this.#submit(frame);
  }

  requestTaken(bytes: number): void {
    if (this.#fault.returnsEarly === true || this.#cancels) return;
    if (this.#fault.forgetsChunks === true && bytes > LARGE_BYTES) return;
    this.#credit.release(bytes);
    if (this.#fault.returnsTwice === true) this.#credit.release(bytes);
  }

  startRequest(frame: RequestFrame): void {
    const { type, correlationHi: idHi, correlationLo: idLo } = frame;
    if (type === FrameType.MESSAGE) {
      this.handled.push(idLo);
      return;
    }
    const facts = {
      isCall: false,
      method: "m",
      idHi,
      idLo,
      wantsReply: true,
      bytes: wireBytes(frame),
      hasStream: false,
      abort: () => undefined,
    };
    const request = facts as unknown as IncomingRequest<null>;
    this.#running.push(request);
    this.scheduler.handlerStarted(request);
  }

  wantsReply({ type }: RequestFrame): boolean {
    return type === FrameType.RPC_REQUEST;
  }

  refuseRequest(frame: RequestFrame): void {
    this.#reply(frame.correlationLo);
  }

  get hasUnreadReplies(): boolean {
    return this.sendQueue.hasUnreadReplies;
  }

  sendQueueDrained(): void {
    this.#credit.returnDue();
    this.scheduler.startWaiting();
  }

  returnCredit(frames: number, bytes: number): void {
    this.sendPayload(CREDIT_FRAME, { frames, bytes });
  }

  sendPayload(type: number, payload: Readonly<Record<string, unknown>>): void {
    const writer = this.context.writer(MAX_BYTES, false);
    writer.payload(type, 0, 0, payload);
    this.sendQueue.push(writer, "control");
  }

  readMap(frame: FrameDecoder): Record<string, unknown> | null {
    return this.context.reader(MAX_BYTES, false).readMap(frame);
  }

  fail(error: Error): void {
    throw error;
  }

  heldChanged(): void {
    // A connection would call its hooks.
  }

  countHeldBytes(): void {
    // Only used by a server with a total limit.
  }

  receiveQueueFull(): void {
    // Reading from a peer with credit is never paused.
  }

  receiveQueueHasRoom(): void {
    // See above.
  }
}

function isRequest(type: number): boolean {
  return type === FrameType.MESSAGE || type === FrameType.RPC_REQUEST;
}

/** Shared, because creating a context takes longer than running a plan. */
let context = new RuntimeContext(new StepRuntime());

class World {
  readonly a: End;
  readonly b: End;
  readonly #tasks: (() => void)[] = (context.runtime as StepRuntime).tasks;

  constructor(fault: Fault) {
    // One byte is enough for a stream to be full.
    const [a, b] = memoryPair({ highWaterMark: 1, schedule: (task) => this.#tasks.push(task) });
    this.a = new End(context, a, 5, fault);
    // Pauses its handlers after two unread replies.
    this.b = new End(context, b, 2, fault);
  }

  run(step: Step): void {
    context.beginReceive();
    this.#run(step);
    context.endReceive();
  }

  #run(step: Step): void {
    if (step === "the next delivery") this.#tasks.shift()?.();
    else if (step === "the last delivery") this.#tasks.pop()?.();
    else act(step.startsWith("a") ? this.a : this.b, step.slice(2) as Action);
  }

  /** Delivers and reads everything, and completes all handlers. */
  settle(): void {
    for (const end of [this.a, this.b]) if (end.isPaused) end.setPaused(false);
    for (let left = 1000; left > 0; left -= 1) {
      while (this.#tasks.length > 0) this.run("the next delivery");
      this.run("a finishes a handler");
      this.run("b finishes a handler");
      if (this.#tasks.length === 0 && this.a.isIdle && this.b.isIdle) return;
    }
    throw new Broken("it doesn't settle");
  }

  /** Checks that all credit was returned, except for the part that a receiver may accumulate. */
  probe(): void {
    for (const [end, name] of [
      [this.a, "a"],
      [this.b, "b"],
    ] as const) {
      if (end.hasSentChunks) this.run(`${name} sends in chunks`);
      if (end.sendQueue.hasHeld) throw new Broken(`${name} has no credit for a large message`);
      this.settle();
      for (let count = 0; count < Math.ceil(GRANT.frames / 2); count += 1) this.run(`${name} sends`);
      if (end.sendQueue.hasHeld) throw new Broken(`${name} has too little credit for small messages`);
      this.settle();
    }
  }
}

function act(end: End, action: Action): void {
  switch (action) {
    case "sends":
      end.send(SMALL_BYTES);
      return;
    case "sends in chunks":
      end.send(LARGE_BYTES);
      return;
    case "calls":
      end.call(SMALL_BYTES);
      return;
    case "calls in chunks":
      end.call(LARGE_BYTES);
      return;
    case "gives up a call":
      end.giveUp();
      return;
    case "finishes a handler":
      end.finish();
      return;
    case "reads, or stops":
      end.setPaused(!end.isPaused);
      return;
  }
}

/** Returns a description of the failure; null if there was none. */
function failureOf(plan: readonly Step[], fault: Fault = {}): string | null {
  const world = new World(fault);
  try {
    for (const step of plan) world.run(step);
    world.settle();
    world.probe();
  } catch (error) {
    // The old context may contain state of the failed run.
    context = new RuntimeContext(new StepRuntime());
    if (error instanceof Broken) return error.message;
    throw error;
  }
  const { a, b } = world;
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    if (to.handled.join() !== from.sent.join()) return `${to.handled.join()} were handled of ${from.sent.join()}`;
    if (from.answered.sort(byNumber).join() !== [...from.calls].join()) return `${from.answered.join()} were answered`;
  }
  return null;
}

function byNumber(one: number, other: number): number {
  return one - other;
}

const longPlans = fc.array(fc.constantFrom(...STEPS), { maxLength: 80 });

describe("two ends that grant each other credit", { timeout: 120_000 }, () => {
  test("send no more than they may, and get all of it back, in each of 19,608 plans of up to 5 steps", () => {
    let plans = 0;
    for (const plan of plansUpTo(FEW_STEPS, 5)) {
      plans += 1;
      const failure = failureOf(plan);
      if (failure !== null) expect.fail(`${plan.join(", ")}: ${failure}`);
    }
    expect(plans).toBe(19_608);
  });

  test("send no more than they may, and get all of it back, in long plans at random", () => {
    const property = fc.property(longPlans, (plan) => {
      expect(failureOf(plan)).toBeNull();
    });
    fc.assert(property, { numRuns: 2000 });
  });

  test.each<[string, Fault]>([
    ["returns credit before a frame is taken", { returnsEarly: true }],
    ["returns credit twice", { returnsTwice: true }],
    ["forgets the count of frames in chunks", { forgetsChunks: true }],
    ["sends frames in chunks without credit", { sendsChunksFree: true }],
    ["forgets frames whose chunks were given up", { forgetsAborted: true }],
    ["forgets requests that are cancelled while they wait", { forgetsCancelled: true }],
    ["loses the credit of requests that it withdraws", { losesWithdrawn: true }],
    ["takes back credit that withdrawn requests haven't spent", { refundsHeld: true }],
  ])("show it when one %s", (_name, fault) => {
    const property = fc.property(longPlans, (plan) => failureOf(plan, fault) === null);
    expect(fc.check(property, { numRuns: 5000, seed: 1, endOnFailure: true }).failed).toBe(true);
  });
});
