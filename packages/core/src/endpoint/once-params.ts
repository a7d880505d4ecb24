/**
 * The params of `$once`, encoded once for all attempts, so that later changes to the program's objects aren't sent.
 */

import type { RuntimeContext } from "../context/runtime-context.ts";
import { ONCE_METHOD } from "../rpc/once-window.ts";
import { EncodedValue } from "../wire/encoded-value.ts";
import { concat, KEY_DATA } from "../wire/envelope.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";

/** A writer without limits, because each connection checks its own. */
function writerOf(context: RuntimeContext): FrameWriter {
  return context.writer(Number.MAX_SAFE_INTEGER, false);
}

/** @throws ConduitError UNSERIALIZABLE */
export function onceCall(context: RuntimeContext, key: string, method: string, params: unknown): EncodedValue {
  const { bytes } = writerOf(context).encodeParams(ONCE_METHOD, { key, method, params: params ?? {} });
  return new EncodedValue(bytes, method, { method });
}

/** A message with `ack`. */
export class OnceMessage {
  readonly #writer: FrameWriter;
  readonly #key: string;
  readonly #type: string;
  /** The encoded map, with the data at its end. */
  #params: EncodedValue;
  readonly #dataBytes: number;

  /**
   * @param data may already be encoded
   * @throws ConduitError UNSERIALIZABLE
   */
  constructor(context: RuntimeContext, key: string, type: string, data: unknown) {
    this.#writer = writerOf(context);
    this.#key = key;
    this.#type = type;
    const head = this.#headOf({});
    const { bytes } =
      data instanceof EncodedValue
        ? { bytes: concat([head, data.bytes]) }
        : this.#writer.encodeParams(ONCE_METHOD, { key, type, data: data === undefined ? null : data });
    this.#params = this.#valueOf(bytes);
    this.#dataBytes = bytes.length - head.length;
  }

  get params(): EncodedValue {
    return this.#params;
  }

  /** Makes the next attempts request this delivery. */
  setDelivery(delivery: number, deliveries: number): void {
    const { bytes } = this.#params;
    const data = bytes.subarray(bytes.length - this.#dataBytes);
    this.#params = this.#valueOf(concat([this.#headOf({ delivery, deliveries }), data]));
  }

  /** The map's bytes before the data. */
  #headOf(fields: { readonly delivery?: number; readonly deliveries?: number }): Uint8Array {
    const map = this.#writer.encodePayload({ key: this.#key, type: this.#type, ...fields });
    // One more entry, for the data.
    map[0] = (map[0] as number) + 1;
    return concat([map, KEY_DATA]);
  }

  #valueOf(bytes: Uint8Array): EncodedValue {
    return new EncodedValue(bytes, this.#type, { type: this.#type });
  }
}
