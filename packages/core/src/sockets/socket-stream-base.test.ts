import { describe, expect, test } from "vitest";
import type { ByteSink } from "../bytes/byte-stream.ts";
import { ErrorCode } from "../errors.ts";
import { microtasks } from "../test-support/microtasks.ts";
import { SocketErrors } from "./socket-errors.ts";
import { SocketStreamBase } from "./socket-stream-base.ts";
import type { StreamFacts } from "./stream-facts.ts";

const address = { kind: "tcp", host: "127.0.0.1", port: 1, family: "IPv4" } as const;
const facts: StreamFacts = {
  local: address,
  remote: address,
  tls: null,
  role: "client",
  bufferSize: 1,
  silentEnd: null,
};

/** A stream that logs the calls of its socket. */
class LoggedStream extends SocketStreamBase {
  readonly log: string[] = [];
  readonly queuedBytes = 0;

  constructor(given: Partial<StreamFacts> = {}) {
    super({ ...facts, ...given }, new SocketErrors((cause) => (cause as { code?: string }).code ?? ""));
  }

  write(): boolean {
    return this.state === "open" ? this.mustWait() : false;
  }

  closed(): void {
    if (this.state === "open") this.lost();
    this.finish();
  }

  holds(): boolean {
    return this.isHolding;
  }

  protected startReading(): void {
    this.log.push("read");
  }

  protected stopReading(): void {
    this.log.push("stop");
  }

  protected shutDown(): void {
    this.log.push("fin");
  }

  protected discard(reset: boolean): void {
    this.log.push(reset ? "reset" : "close");
    this.finish();
  }
}

class Heard implements ByteSink {
  readonly calls: unknown[] = [];
  onData: () => void = () => {};

  data(chunk: Uint8Array): void {
    this.calls.push(...chunk);
    this.onData();
  }

  drained(): void {
    this.calls.push("drained");
  }

  closed(error: Error | null): void {
    this.calls.push(error === null ? "closed" : ((error as { code?: unknown }).code ?? error.message));
  }
}

const byte = (value: number): Uint8Array => Uint8Array.of(value);

describe("SocketStreamBase", () => {
  test("data that came before open stops the socket, and is delivered after it, before later data", async () => {
    const stream = new LoggedStream();
    const heard = new Heard();
    stream.received(byte(1));
    stream.open(heard);
    stream.received(byte(2));
    expect([heard.calls, stream.holds()]).toEqual([[], true]);
    await microtasks();
    stream.received(byte(3));
    expect([heard.calls, stream.log, stream.holds()]).toEqual([[1, 2, 3], ["stop", "stop", "read"], false]);
  });

  test("data that comes in spite of pause is held, and a sink that pauses again gets no more of it", async () => {
    const stream = new LoggedStream();
    const heard = new Heard();
    stream.open(heard);
    stream.pause();
    stream.received(byte(1));
    stream.received(byte(2));
    heard.onData = () => stream.pause();
    stream.resume();
    await microtasks();
    expect(heard.calls).toEqual([1]);
    heard.onData = () => {};
    stream.resume();
    await microtasks();
    expect([heard.calls, stream.log.at(-1)]).toEqual([[1, 2], "read"]);
  });

  test("data that is held is a copy, also of a Buffer whose memory the socket reuses", async () => {
    const [stream, sink] = [new LoggedStream(), new Heard()];
    stream.open(sink);
    stream.pause();
    const memory = Buffer.from([1, 2]);
    stream.received(memory);
    memory.fill(9);
    stream.received(memory);
    stream.resume();
    await microtasks();
    expect(sink.calls).toEqual([1, 2, 9, 9]);
  });

  test("destroy discards what was held, and nothing is delivered after it", async () => {
    const stream = new LoggedStream();
    const heard = new Heard();
    stream.received(byte(1));
    stream.open(heard);
    stream.destroy(null);
    stream.received(byte(2));
    await microtasks();
    expect(heard.calls).toEqual(["closed"]);
  });

  test("the sink says where data lands, once there is one and nothing is held back for it", async () => {
    const stream = new LoggedStream();
    const target = new Uint8Array(10);
    const bytesRead: number[] = [];
    const heard = Object.assign(new Heard(), {
      readTarget: () => target,
      bytesRead: (count: number) => bytesRead.push(count),
    });
    stream.received(byte(1));
    expect(stream.readTarget()).toBe(null);
    stream.open(heard);
    expect(stream.readTarget()).toBe(null);
    await microtasks();
    expect(stream.readTarget()).toBe(target);
    stream.bytesRead(3);
    stream.destroy(null);
    stream.bytesRead(4);
    expect([stream.readTarget(), bytesRead]).toEqual([null, [3]]);
  });

  test("a sink that does not mind gets all data by its call", () => {
    const stream = new LoggedStream();
    stream.open(new Heard());
    expect(stream.readTarget()).toBe(null);
  });

  test("drained reaches the sink once for each time that write had to wait, and only while open", () => {
    const stream = new LoggedStream();
    const heard = new Heard();
    stream.open(heard);
    stream.drained();
    stream.write();
    stream.write();
    stream.drained();
    stream.drained();
    stream.write();
    stream.ended();
    stream.drained();
    expect(heard.calls).toEqual(["drained"]);
  });

  test("FIN is sent once, be it for close, the peer's end, or both", () => {
    const stream = new LoggedStream();
    stream.ended();
    void stream.close();
    stream.ended();
    expect(stream.log).toEqual(["fin"]);
  });

  test("a reset is asked for when a reason cuts an open stream off, and not otherwise", () => {
    const [cut, plain, ending] = [new LoggedStream(), new LoggedStream(), new LoggedStream()];
    cut.destroy(new Error("a reason"));
    plain.destroy(null);
    void ending.close();
    ending.destroy(new Error("a reason"));
    expect([cut.log, plain.log, ending.log]).toEqual([["reset"], ["close"], ["fin", "close"]]);
  });

  test("a socket that closes though neither side said so is CONNECTION_CLOSED", async () => {
    const stream = new LoggedStream();
    const heard = new Heard();
    stream.open(heard);
    stream.closed();
    await microtasks();
    expect(heard.calls).toEqual([ErrorCode.CONNECTION_CLOSED]);
  });

  test("the first error counts, and what a socket says after its end is no news", async () => {
    const stream = new LoggedStream();
    const heard = new Heard();
    stream.open(heard);
    stream.failed(Object.assign(new Error("reset"), { code: "ECONNRESET" }));
    stream.failed(new Error("and another"));
    stream.destroy(new Error("too late"));
    stream.ended();
    stream.closed();
    await microtasks();
    expect([heard.calls, stream.log]).toEqual([[ErrorCode.CONNECTION_RESET], ["read", "reset"]]);
  });

  test("a peer that ends before its first byte is what the adapter says, and afterwards an ordinary end", async () => {
    const silentEnd = (): never => Object.assign(new Error("refused"), { code: "refused" }) as never;
    const [silent, spoken] = [new LoggedStream({ silentEnd }), new LoggedStream({ silentEnd })];
    const [atSilent, atSpoken] = [new Heard(), new Heard()];
    silent.open(atSilent);
    spoken.open(atSpoken);
    spoken.received(byte(1));
    for (const stream of [silent, spoken]) {
      stream.ended();
      stream.closed();
    }
    await microtasks();
    expect([atSilent.calls, atSpoken.calls]).toEqual([["refused"], [1, "closed"]]);
  });

  test("close resolves without a sink, and after the sink was told where there is one", async () => {
    const stream = new LoggedStream();
    const order: string[] = [];
    stream.open({ data() {}, drained() {}, closed: () => void order.push("closed") });
    const closing = stream.close().then(() => order.push("resolved"));
    stream.closed();
    await closing;
    expect(order).toEqual(["closed", "resolved"]);
    const unopened = new LoggedStream();
    unopened.destroy(null);
    await unopened.close();
    const heard = new Heard();
    unopened.open(heard);
    await microtasks();
    expect(heard.calls).toEqual(["closed"]);
  });
});
