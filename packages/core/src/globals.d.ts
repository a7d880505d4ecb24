/**
 * The few web-platform globals the core uses. Every supported runtime has them; declaring just these keeps
 * `types: []` honest: anything else a runtime offers fails to compile here and has to come in through `Runtime`.
 */

interface AbortSignal {
  readonly aborted: boolean;
  // biome-ignore lint/suspicious/noExplicitAny: the platform types it so
  readonly reason: any;
  throwIfAborted(): void;
  addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: "abort", listener: () => void): void;
}
declare const AbortSignal: { any(signals: readonly AbortSignal[]): AbortSignal };

interface AbortController {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
}
declare const AbortController: { new (): AbortController };

interface ReadableStream<R = unknown> {
  getReader(): {
    read(): Promise<IteratorResult<R, undefined>>;
    cancel(reason?: unknown): Promise<void>;
  };
}
declare const ReadableStream: {
  new <R>(
    source: {
      pull(controller: { enqueue(chunk: R): void; close(): void }): Promise<void>;
      cancel(reason?: unknown): Promise<void>;
    },
    strategy: { highWaterMark: number },
  ): ReadableStream<R>;
};

interface ErrorConstructor {
  captureStackTrace(error: Error, above: (...parameters: never[]) => unknown): void;
}

interface TextDecoder {
  decode(input: Uint8Array): string;
}
declare const TextDecoder: { new (label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean }): TextDecoder };

interface TextEncoder {
  encode(input: string): Uint8Array<ArrayBuffer>;
  encodeInto(source: string, destination: Uint8Array): { read: number; written: number };
}
declare const TextEncoder: { new (): TextEncoder };

declare function btoa(binary: string): string;
declare function atob(base64: string): string;

interface SubtleCrypto {
  importKey(
    format: "raw",
    key: Uint8Array<ArrayBuffer>,
    algorithm: "PBKDF2",
    extractable: false,
    usages: readonly "deriveBits"[],
  ): Promise<unknown>;
  importKey(
    format: "raw",
    key: Uint8Array<ArrayBuffer>,
    algorithm: { readonly name: "HMAC"; readonly hash: string },
    extractable: false,
    usages: readonly "sign"[],
  ): Promise<unknown>;
  deriveBits(
    parameters: { name: string; hash: string; salt: Uint8Array; iterations: number },
    key: unknown,
    bits: number,
  ): Promise<ArrayBuffer>;
  digest(algorithm: "SHA-256", data: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer>;
  sign(algorithm: "HMAC", key: unknown, data: Uint8Array<ArrayBuffer>): Promise<ArrayBuffer>;
}
interface Crypto {
  readonly subtle: SubtleCrypto;
  getRandomValues(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
  /** A UUID of version 4. */
  randomUUID(): string;
}
declare const crypto: Crypto;

declare const console: { warn(error: Error): void };
