/**
 * The extensions of protocol 1.0 that two of our own peers agree on at login. Silence means a netconduit peer: none.
 */

/** Names, as they stand in AUTH_REQUEST and AUTH_SUCCESS. */
export const extensionNames = ["reply", "flow", "close", "cancel", "deadline", "call", "advance"] as const;
export type ExtensionName = (typeof extensionNames)[number];

/** Which extensions both sides speak. */
export interface Extensions {
  /** A MESSAGE with a correlation id asks for one reply: RPC_RESPONSE or RPC_ERROR with that id. */
  readonly reply: boolean;
  /** PAUSE and RESUME are sent and obeyed; replies and control frames go on. */
  readonly flow: boolean;
  /** CLOSE is answered by CLOSE_ACK. */
  readonly close: boolean;
  /** The frame CANCEL ends the call it names. */
  readonly cancel: boolean;
  /** RPC_REQUEST may carry `timeout_ms`. */
  readonly deadline: boolean;
  /** The client answers RPC_REQUEST too. */
  readonly call: boolean;
  /** AUTH_SUCCESS brings the challenge of the next login, which then takes one round trip. */
  readonly advance: boolean;
}

/** By bits in the order of {@link extensionNames}: peers that agreed on the same share one object. */
const agreements: Extensions[] = [];

/** What a netconduit peer speaks. */
export const NO_EXTENSIONS: Extensions = from(() => false);

/** The map for `extensions` in AUTH_REQUEST: all this library knows, `advance` only where it is allowed. */
export function offered(mayAdvance = true): Record<string, true> {
  return toPayload(from((name) => mayAdvance || name !== "advance"));
}

/**
 * What of a peer's `extensions` map this library speaks too, `advance` only where it is allowed; serves both sides, an
 * offer and its acceptance. Names it does not know and parameters other than `true` are ignored; what is not a map
 * offers nothing. Never throws.
 */
export function negotiate(offer: unknown, mayAdvance = true): Extensions {
  if (!isMap(offer)) return NO_EXTENSIONS;
  return from((name) => Object.hasOwn(offer, name) && offer[name] === true && (mayAdvance || name !== "advance"));
}

/** The map for `extensions` in AUTH_SUCCESS: those accepted. */
export function toPayload(extensions: Extensions): Record<string, true> {
  const payload: Record<string, true> = {};
  for (const name of extensionNames) {
    if (extensions[name]) payload[name] = true;
  }
  return payload;
}

/** Whether a decoded value is a MessagePack map. */
export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function from(has: (name: ExtensionName) => boolean): Extensions {
  let bits = 0;
  for (const [index, name] of extensionNames.entries()) if (has(name)) bits |= 1 << index;
  const known = agreements[bits];
  if (known !== undefined) return known;
  const agreed = Object.freeze({
    reply: has("reply"),
    flow: has("flow"),
    close: has("close"),
    cancel: has("cancel"),
    deadline: has("deadline"),
    call: has("call"),
    advance: has("advance"),
  });
  agreements[bits] = agreed;
  return agreed;
}
