/** Programs in which an editor completes a method name at the cursor, with a contract of many methods. */
import { CURSOR } from "./completions.ts";

const FIELDS = [
  "id: v.pipe(v.string(), v.uuid())",
  "limit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 10)",
  'order: v.picklist(["up", "down"])',
  "tags: v.array(v.object({ name: v.string(), weight: v.nullable(v.number()) }))",
].join(", ");

/** Returns a contract whose methods, `area0.method0` and so on, each have their own schemas. */
export function contractOf(methods: number): string {
  const entries = Array.from({ length: methods }, (_, n) => {
    const params = `v.object({ ${FIELDS}, p${n}: v.boolean() })`;
    const result = `v.object({ r${n}: v.string(), items: v.array(v.object({ ${FIELDS} })) })`;
    return `"area${n % 20}.method${n}": { params: ${params}, result: ${result} },`;
  });
  return `
import type { Contract } from "@netconduit/node";
import * as v from "valibot";
const definition = { server: { methods: { ${entries.join("\n")} } } } satisfies Contract;
type Definition = typeof definition;
export interface Api extends Definition {}
export const api: Api = definition;
`;
}

const HAND_WRITTEN = `
import type * as v from "valibot";
import type { Api } from "./contract.ts";
type Methods = Api["server"]["methods"];
`;
const CLIENT = `
import { Client } from "@netconduit/node";
import { api } from "./contract.ts";
const client = new Client({ host: "localhost", port: 1, password: "secret", contract: api });
`;
const SERVER = `
import { Server } from "@netconduit/node";
import { api } from "./contract.ts";
const server = new Server({ password: "secret", contract: api });
`;

/** Hand-written typed functions over the same schemas, for comparison. */
export const handWrittenCall = `${HAND_WRITTEN}
declare function call<M extends keyof Methods>(
  method: M,
  params: v.InferInput<Methods[M]["params"]>,
): Promise<v.InferOutput<Methods[M]["result"]>>;
call("${CURSOR}");
`;
export const handWrittenRpc = `${HAND_WRITTEN}
declare function rpc<M extends keyof Methods>(
  method: M,
  handler: (params: v.InferOutput<Methods[M]["params"]>) => v.InferInput<Methods[M]["result"]>,
): void;
rpc("${CURSOR}");
`;
export const clientCall = `${CLIENT}client.call("${CURSOR}");`;
export const clientApi = `${CLIENT}client.api.area0.${CURSOR}`;
export const serverRpc = `${SERVER}server.rpc("${CURSOR}");`;
