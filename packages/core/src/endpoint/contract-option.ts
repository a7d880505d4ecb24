import type { ItemChecks } from "../connection/extension.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { fitsPattern } from "../extensions/topics/topic-name.ts";
import { isRoleList } from "../rpc/access.ts";
import type { Contract, DataContract, MethodContract, SideContract, StreamContract } from "../rpc/contract.ts";
import { isSchema, SCHEMA_RULE, type Schema } from "../rpc/schema.ts";
import { Validator } from "../rpc/validation.ts";
import { OptionProblems } from "./option-problems.ts";

/** The option `contract` of servers and clients. */
export interface ContractOption<C extends Contract = Contract> {
  /**
   * Methods and messages of both sides, with their schemas, which validate parameters and results of this side's
   * methods, data of messages handled here, and results of calls to the peer. Default: only schemas passed at
   * registration validate.
   */
  readonly contract?: C | undefined;
}

/** Validators of method results, by method name. */
export type ResultValidators = ReadonlyMap<string, Validator<unknown>>;
/** Validators of items and progress, by the name of their method or stream. */
export type ItemValidators = ReadonlyMap<string, ItemChecks>;

const SIDES = ["server", "client"];
const TOPICS = "topics";
const CLIENTS = "clients";
const PARTS = ["methods", "streams", "messages", "files"];
const METHOD_SCHEMAS = ["params", "result", "input", "progress"];
const ROLES = "roles";
const STREAM_SCHEMAS = ["params", "output", "input", "progress"];

/**
 * Returns the option `contract`, or null. Checks all of it, so that a typo can't leave a name unvalidated.
 *
 * @param complete the option of that name, which needs a contract
 * @param owner whose options they are, for the message
 * @throws ConduitError INVALID_CONFIG listing every problem
 */
export function parseContract<C extends Contract>(contract: C | undefined, complete: boolean, owner: string): C | null {
  if (contract === undefined) {
    if (!complete) return null;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `Invalid option complete of ${owner}: needs the option contract`);
  }
  const problems = new OptionProblems(owner, [], []);
  for (const [sidePath, side] of parts(problems, "contract", contract, [...SIDES, CLIENTS, TOPICS])) {
    if (sidePath === `contract.${TOPICS}`) {
      for (const [path, entry] of parts(problems, sidePath, side, null)) checkData(problems, path, entry, true);
    } else if (sidePath === `contract.${CLIENTS}`) {
      for (const [path, entry] of parts(problems, sidePath, side, null)) checkSide(problems, path, entry, false);
    } else checkSide(problems, sidePath, side, sidePath === "contract.server");
  }
  problems.throwIfAny();
  checkKinds(problems, contract);
  problems.throwIfAny();
  return contract;
}

function checkSide(problems: OptionProblems, sidePath: string, side: unknown, isOfServer: boolean): void {
  for (const [path, part] of parts(problems, sidePath, side, PARTS)) {
    const isMessages = path.endsWith(".messages");
    const isFiles = path.endsWith(".files");
    const schemas = path.endsWith(".streams") ? STREAM_SCHEMAS : METHOD_SCHEMAS;
    for (const [name, entry] of parts(problems, path, part, null)) {
      if (isMessages) checkData(problems, name, entry, isOfServer);
      else if (isFiles) checkFolder(problems, name, entry, isOfServer);
      else checkMethod(problems, name, entry, schemas, isOfServer);
    }
  }
}

/** Checks that no kind repeats a name of all clients, and that a method of several kinds is the same in all. */
function checkKinds(problems: OptionProblems, { client, clients = {} }: Contract): void {
  for (const part of ["methods", "streams", "messages", "files"] as const) {
    const known = new Map<string, unknown>();
    for (const [kind, side] of Object.entries(clients)) {
      for (const [name, entry] of Object.entries(side[part] ?? {})) {
        const path = `contract.${CLIENTS}.${kind}.${part}.${name}`;
        if (Object.hasOwn(client?.[part] ?? {}, name)) {
          problems.add(path, `must not be given: all clients have it, by contract.client.${part}`, entry);
        } else if ((part === "methods" || part === "streams") && known.has(name) && known.get(name) !== entry) {
          problems.add(path, "must be the same object as that of another kind", entry);
        } else known.set(name, entry);
      }
    }
  }
}

/** Validators for the results of a side's methods; null if there are none. */
export function agreedResults(side: SideContract | undefined): ResultValidators | null {
  if (side?.methods === undefined) return null;
  const validators = new Map<string, Validator<unknown>>();
  for (const [name, { result }] of Object.entries(side.methods)) {
    if (result !== undefined) validators.set(name, new Validator(result, "result"));
  }
  return validators.size === 0 ? null : validators;
}

/** Validators of the items and progress of a side's methods and streams; null if there are none. */
export function agreedItems(side: SideContract | undefined): ItemValidators | null {
  if (side === undefined) return null;
  const validators = new Map<string, ItemChecks>();
  const streams: [string, StreamContract & MethodContract][] = Object.entries({ ...side.methods, ...side.streams });
  for (const [name, { input, output, progress }] of streams) {
    if (input === undefined && output === undefined && progress === undefined) continue;
    validators.set(name, {
      input: input === undefined ? null : new Validator(input, "input"),
      output: output === undefined ? null : new Validator(output, "result"),
      progress: progress === undefined ? null : new Validator(progress, "progress"),
    });
  }
  return validators.size === 0 ? null : validators;
}

/** Returns the contract's entry for a name, ignoring inherited properties. */
export function agreedOn<T>(entries: Readonly<Record<string, T>> | undefined, name: string): T | undefined {
  return entries !== undefined && Object.hasOwn(entries, name) ? entries[name] : undefined;
}

/** Checks a message or topic: a schema, or an object with a schema and roles. */
function checkData(problems: OptionProblems, path: string, entry: unknown, isOfServer: boolean): void {
  const isPair =
    typeof entry === "object" && entry !== null && !isSchema(entry) && ("roles" in entry || "data" in entry);
  if (!isPair) {
    checkSchema(problems, path, entry);
    return;
  }
  for (const [name, part] of parts(problems, path, entry, ["data", ROLES])) {
    if (name === `${path}.${ROLES}`) checkRoles(problems, name, part, isOfServer);
    else checkSchema(problems, name, part);
  }
}

function checkFolder(problems: OptionProblems, path: string, entry: unknown, isOfServer: boolean): void {
  for (const [name, part] of parts(problems, path, entry, [ROLES])) checkRoles(problems, name, part, isOfServer);
}

function checkRoles(problems: OptionProblems, path: string, roles: unknown, isOfServer: boolean): void {
  if (!isOfServer) problems.add(path, "must not be given for clients: a server has no roles", roles);
  else if (!isRoleList(roles)) problems.add(path, "must be an array of one or more non-empty strings", roles);
}

function checkMethod(
  problems: OptionProblems,
  path: string,
  method: unknown,
  schemas: readonly string[],
  isOfServer: boolean,
): void {
  if (isSchema(method)) {
    problems.add(path, `must be an object with ${schemas[0]} and ${schemas[1]}, not a schema`, method);
    return;
  }
  for (const [name, part] of parts(problems, path, method as MethodContract, [...schemas, ROLES])) {
    if (name === `${path}.${ROLES}`) checkRoles(problems, name, part, isOfServer);
    else checkSchema(problems, name, part);
  }
}

function checkSchema(problems: OptionProblems, path: string, schema: unknown): void {
  if (!isSchema(schema)) problems.add(path, SCHEMA_RULE, schema);
}

/** The entries of an object in the contract that aren't undefined, by path. Reports names that aren't `known`. */
function parts(
  problems: OptionProblems,
  path: string,
  value: unknown,
  known: readonly string[] | null,
): (readonly [path: string, value: unknown])[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    problems.add(path, "must be an object", value);
    return [];
  }
  const found = Object.entries(value).map(([name, part]) => [`${path}.${name}`, part] as const);
  if (known === null) return found;
  const paths = known.map((name) => `${path}.${name}`);
  for (const [name, part] of found) if (!paths.includes(name)) problems.addUnknown(name, part, paths);
  return found.filter(([name, part]) => paths.includes(name) && part !== undefined);
}

/** A topic of a contract. */
export interface AgreedTopic {
  readonly schema: Schema | undefined;
  readonly roles: readonly string[] | undefined;
}

/** Returns the contract's entry for a topic: by name, or by the first matching pattern. */
export function agreedTopic(contract: Contract | null, name: string): AgreedTopic | undefined {
  const topics = contract?.topics;
  if (topics === undefined) return undefined;
  const own = agreedOn(topics, name);
  if (own !== undefined) return agreedData(own);
  const pattern = Object.keys(topics).find((key) => key.includes("*") && fitsPattern(name, key));
  return pattern === undefined ? undefined : agreedData(topics[pattern] as Schema | DataContract);
}

/** A message or topic of a contract: its schema, and who may send or use it. */
export function agreedData(entry: Schema | DataContract): AgreedTopic {
  return isSchema(entry) ? { schema: entry, roles: undefined } : { schema: entry.data, roles: entry.roles };
}

/** Validates messages published to a topic; null if the contract has no schema for it. */
export function topicValidator(contract: Contract | null, name: string): Validator<unknown> | null {
  const schema = agreedTopic(contract, name)?.schema;
  return schema === undefined ? null : new Validator(schema, "topic");
}
