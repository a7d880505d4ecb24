/** Whether a decoded value is a MessagePack map: the decoder makes plain objects of maps, and of nothing else. */
export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
