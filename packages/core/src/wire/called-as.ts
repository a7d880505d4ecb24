/** Maps reserved methods on the wire to the calls that they implement, for error messages and hooks. */

import { type Called, Operation } from "../errors.ts";
import { describeValue } from "../text/describe-value.ts";
import { isMap } from "../util/is-map.ts";
import { EncodedValue } from "./encoded-value.ts";

/** Reserved methods of the protocol, which aren't listed by discovery. */
export const ReservedMethod = {
  ONCE: "$once",
  SUBSCRIBE: "$topic.subscribe",
  UNSUBSCRIBE: "$topic.unsubscribe",
  PUBLISH: "$topic.publish",
} as const;

/** Reserved methods for folders. */
export const FileMethod = {
  OFFSET: "files:offset",
  UPLOAD: "files:upload",
  DOWNLOAD: "files:download",
  LIST: "files:list",
  STAT: "files:stat",
  REMOVE: "files:remove",
} as const;

type Params = Readonly<Record<string, unknown>>;

const OF: ReadonlyMap<string, (params: Params) => Called> = new Map<string, (params: Params) => Called>([
  [ReservedMethod.ONCE, ({ method, type }) => nameIn(method) ?? nameIn(type) ?? new Operation("do something once")],
  [ReservedMethod.SUBSCRIBE, ({ topic }) => operation("subscribe to", topic)],
  [ReservedMethod.UNSUBSCRIBE, ({ topic }) => operation("unsubscribe from", topic)],
  [ReservedMethod.PUBLISH, ({ topic }) => operation("publish to", topic)],
  [FileMethod.OFFSET, ({ name }) => operation("upload", name)],
  [FileMethod.UPLOAD, ({ name }) => operation("upload", name)],
  [FileMethod.DOWNLOAD, ({ name }) => operation("download", name)],
  [FileMethod.LIST, ({ folder }) => operation("list", folder)],
  [FileMethod.STAT, ({ name }) => operation("stat", name)],
  [FileMethod.REMOVE, ({ name }) => operation("remove", name)],
]);

/** Whether a method is reserved. */
export function isReserved(method: string): boolean {
  // Most methods don't start with this character, and need no look-up.
  const first = typeof method === "string" ? method.charCodeAt(0) : 0;
  return (first === DOLLAR || first === F) && OF.has(method);
}

const DOLLAR = 0x24;
const F = 0x66;

/** The call as made by the application: the method, or the purpose of a reserved one. @param params plain or encoded */
export function calledAs(method: string, params: unknown): Called {
  if (!isReserved(method)) return method;
  if (params instanceof EncodedValue) return params.called ?? method;
  return OF.get(method)?.(isMap(params) ? params : {}) ?? method;
}

/** `publish to "room:7"`. */
export function operation(verb: string, object: unknown): Operation {
  return new Operation(`${verb} ${describeValue(object)}`);
}

function nameIn(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
