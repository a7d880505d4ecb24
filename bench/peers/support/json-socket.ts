/**
 * JSON over the WebSocket that a runtime has built in, written by hand as in `ws.ts`: requests and replies with an id,
 * bytes with the id in front.
 */
import * as v from "valibot";
import type { BenchClient, ServerOptions } from "../../lib/peer.ts";
import {
  type AddParams,
  AddSchema,
  type Message,
  mark,
  methodName,
  type News,
  servedBytes,
} from "../../lib/workload.ts";

/** Bytes in front of a binary message: the request's id. */
const ID_BYTES = 4;

interface Call {
  readonly id: number;
  readonly method: string;
  readonly params: unknown;
}

/** What came in a message: text, or bytes. */
export type Received = string | Uint8Array;

/** Answers one message of a client; what it returns is sent back. */
export function answerer({
  methods,
}: Pick<ServerOptions, "methods">): (received: Received) => string | Uint8Array<ArrayBuffer> {
  const handlers = new Map<string, (params: unknown) => unknown>();
  for (let index = 0; index < methods; index++) {
    handlers.set(methodName(index), (params) => {
      const { a, b } = v.parse(AddSchema, params);
      return a + b;
    });
  }
  handlers.set("message", (params) => params);

  return (received) => {
    if (typeof received !== "string") {
      return JSON.stringify({ id: readId(received), result: mark(received.subarray(ID_BYTES)) });
    }
    const { id, method, params } = JSON.parse(received) as Call;
    if (method === "download") return withId(id, servedBytes(params as number));
    const handler = handlers.get(method);
    if (handler === undefined) return JSON.stringify({ id, error: `Unknown method ${method}` });
    try {
      return JSON.stringify({ id, result: handler(params) });
    } catch (error) {
      return JSON.stringify({ id, error: String(error) });
    }
  };
}

function readId(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, ID_BYTES).getUint32(0);
}

function withId(id: number, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(ID_BYTES + bytes.length);
  new DataView(message.buffer).setUint32(0, id);
  message.set(bytes, ID_BYTES);
  return message;
}

/** Resolves when a WebSocket is open; with binary messages as ArrayBuffers. */
export async function opened(socket: WebSocket): Promise<WebSocket> {
  socket.binaryType = "arraybuffer";
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error(`No WebSocket could be opened to ${socket.url}`));
  });
  socket.onerror = null;
  return socket;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** The client's end of a WebSocket that is open. */
export class JsonSocketClient implements BenchClient {
  private readonly socket: WebSocket;
  private readonly pending: Map<number, Pending> = new Map();
  private listener: ((news: News) => void) | null = null;
  private nextId = 1;
  private readonly closed: Promise<void>;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.onmessage = ({ data }: { readonly data: string | ArrayBuffer }) => this.received(data);
    this.closed = new Promise((resolve) => {
      socket.onclose = () => {
        for (const { reject } of this.pending.values()) reject(new Error("The connection closed"));
        this.pending.clear();
        resolve();
      };
    });
  }

  call(params: AddParams, method = 0): Promise<number> {
    return this.send(methodName(method), params) as Promise<number>;
  }

  request(message: Message): Promise<Message> {
    return this.send("message", message) as Promise<Message>;
  }

  async onBroadcast(listener: (news: News) => void): Promise<void> {
    this.listener = listener;
  }

  upload(bytes: Uint8Array): Promise<number> {
    return this.expect((id) => this.socket.send(withId(id, bytes))) as Promise<number>;
  }

  download(length: number): Promise<number> {
    return this.send("download", length) as Promise<number>;
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.closed;
  }

  private send(method: string, params: unknown): Promise<unknown> {
    return this.expect((id) => this.socket.send(JSON.stringify({ id, method, params })));
  }

  private expect(send: (id: number) => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = this.nextId++;
      this.pending.set(id, { resolve, reject });
      send(id);
    });
  }

  private received(data: string | ArrayBuffer): void {
    if (typeof data !== "string") {
      const bytes = new Uint8Array(data);
      this.settle(readId(bytes)).resolve(mark(bytes.subarray(ID_BYTES)));
      return;
    }
    const message = JSON.parse(data) as { id?: number; result?: unknown; error?: string } & News;
    if (message.id === undefined) this.listener?.(message);
    else if (message.error !== undefined) this.settle(message.id).reject(new Error(message.error));
    else this.settle(message.id).resolve(message.result);
  }

  private settle(id: number): Pending {
    const pending = this.pending.get(id);
    if (pending === undefined) throw new Error(`A reply to request ${id}, which nobody waits for`);
    this.pending.delete(id);
    return pending;
  }
}
