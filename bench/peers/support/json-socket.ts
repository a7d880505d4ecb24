/**
 * Hand-written JSON over a WebSocket: requests and replies with an id, binary messages with a 4-byte id in front.
 * Shared by `ws` and the built-in WebSockets of Bun and Deno.
 */
import { Buffer } from "node:buffer";
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
import { PendingRequests } from "./pending-requests.ts";

/** Length of a binary message's prefix, the request's id. */
const ID_BYTES = 4;

interface Request {
  readonly id: number;
  readonly method: string;
  readonly params: unknown;
}

/** The content of a message. */
export type Content = string | Uint8Array<ArrayBuffer>;

/** Returns a function that handles a client's message and returns the reply. */
export function answerer({ methods }: Pick<ServerOptions, "methods">): (received: string | Uint8Array) => Content {
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
    const { id, method, params } = JSON.parse(received) as Request;
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
  const message = Buffer.allocUnsafe(ID_BYTES + bytes.length);
  message.writeUInt32BE(id, 0);
  message.set(bytes, ID_BYTES);
  return message;
}

/** The client's end; subclasses implement sending and closing. */
export abstract class JsonClient implements BenchClient {
  private readonly requests: PendingRequests = new PendingRequests();
  private listener: ((news: News) => void) | null = null;

  abstract close(): Promise<void>;
  protected abstract write(content: Content): void;

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
    return this.requests.open((id) => this.write(withId(id, bytes))) as Promise<number>;
  }

  download(length: number): Promise<number> {
    return this.send("download", length) as Promise<number>;
  }

  protected received(content: string | Uint8Array): void {
    if (typeof content !== "string") {
      this.requests.resolve(readId(content), mark(content.subarray(ID_BYTES)));
      return;
    }
    const message = JSON.parse(content) as { id?: number; result?: unknown; error?: string } & News;
    if (message.id === undefined) this.listener?.(message);
    else if (message.error !== undefined) this.requests.reject(message.id, new Error(message.error));
    else this.requests.resolve(message.id, message.result);
  }

  protected closed(): void {
    this.requests.rejectAll(new Error("The connection closed"));
  }

  private send(method: string, params: unknown): Promise<unknown> {
    return this.requests.open((id) => this.write(JSON.stringify({ id, method, params })));
  }
}

/** A client on a standard WebSocket, which must be {@link opened}. */
export class StandardSocketClient extends JsonClient {
  private readonly socket: WebSocket;
  private readonly end: Promise<void>;

  constructor(socket: WebSocket) {
    super();
    this.socket = socket;
    socket.onmessage = ({ data }: { readonly data: string | ArrayBuffer }) =>
      this.received(typeof data === "string" ? data : new Uint8Array(data));
    this.end = new Promise((resolve) => {
      socket.onclose = () => {
        this.closed();
        resolve();
      };
    });
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.end;
  }

  protected write(content: Content): void {
    this.socket.send(content);
  }
}

/** Resolves when a WebSocket is open, with binary messages as ArrayBuffers. */
export async function opened(socket: WebSocket): Promise<WebSocket> {
  socket.binaryType = "arraybuffer";
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error(`Cannot open a WebSocket to ${socket.url}`));
  });
  socket.onerror = null;
  return socket;
}
