/** Whether a decoded value is a MessagePack map. The decoder creates plain objects only for maps. */
export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
