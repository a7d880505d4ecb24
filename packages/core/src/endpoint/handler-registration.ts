import { ConduitError, ErrorCode } from "../errors.ts";
import { type Access, accessOf } from "../rpc/access.ts";
import type { MethodContract, SideContract } from "../rpc/contract.ts";
import { MiddlewareList } from "../rpc/middleware.ts";
import { didYouMean } from "../rpc/nearest-name.ts";
import type { Items, MessageEntry, MethodEntry, Registry } from "../rpc/registry.ts";
import { isSchema, SCHEMA_RULE, type Schema } from "../rpc/schema.ts";
import { describeParams, describeResult } from "../rpc/type-names.ts";
import { Validator } from "../rpc/validation.ts";
import { describeValue } from "../text/describe-value.ts";
import { KnownOptions } from "../util/known-options.ts";
import { agreedData, agreedOn } from "./contract-option.ts";
import type { Disposer, MessageOptions, MethodDefinition, StreamDefinition } from "./method-types.ts";

type Handler = (...args: never[]) => unknown;

const DEFINITION = {
  name: true,
  description: true,
  params: true,
  roles: true,
  requiresAuth: true,
  input: true,
  progress: true,
} as const;
const RPC = new KnownOptions<MethodDefinition>("rpc", { ...DEFINITION, result: true });
const STREAM = new KnownOptions<StreamDefinition>("stream", { ...DEFINITION, output: true });
const ON = new KnownOptions<MessageOptions>("on", { roles: true });

/** Shared by the handlers of a server, a client or a group. */
export interface HandlerScope<Peer> {
  readonly middlewares: MiddlewareList<Peer>;
  /** Roles required to use them; undefined for none. */
  readonly roles?: readonly string[] | undefined;
}

/**
 * Registers methods and message handlers. Inputs and results are validated with the schemas passed with the handler,
 * or with the contract's by default.
 */
export class HandlerRegistration<Peer> implements HandlerScope<Peer> {
  /** Middlewares of the server or client itself. */
  readonly middlewares: MiddlewareList<Peer> = new MiddlewareList();
  readonly #registry: Registry<Peer>;
  /** Undefined without a contract. */
  readonly #contract: SideContract | undefined;
  /** On a server, peers have users, and message handlers get the peer as an argument. */
  readonly #isServer: boolean;

  constructor(registry: Registry<Peer>, contract: SideContract | undefined, isServer: boolean) {
    this.#isServer = isServer;
    this.#registry = registry;
    this.#contract = contract;
  }

  /** Registers `(name, handler)`, `(name, schema, handler)` or `(definition, handler)`. */
  addMethod(
    method: string | MethodDefinition,
    schemaOrHandler: Schema | Handler,
    maybeHandler: Handler | undefined,
    scope: HandlerScope<Peer> = this,
  ): Disposer {
    const definition: MethodDefinition = definitionOf(method, RPC, 'rpc("name", (params) => …)');
    const { name } = definition;
    this.#mustList("method", this.#contract?.methods, name);
    const agreed = agreedOn(this.#contract?.methods, name);
    const form = `rpc(${JSON.stringify(name)}, (params) => …)`;
    return this.#add(definition, agreed, splitHandler(name, form, schemaOrHandler, maybeHandler), scope);
  }

  /** Registers a handler that returns a stream of items. Takes the same arguments as `addMethod`. */
  addStream(
    stream: string | StreamDefinition,
    schemaOrHandler: Schema | Handler,
    maybeHandler: Handler | undefined,
    scope: HandlerScope<Peer> = this,
  ): Disposer {
    const definition: StreamDefinition = definitionOf(stream, STREAM, 'stream("name", async function* (params) { … })');
    const { name } = definition;
    this.#mustList("stream", this.#contract?.streams, name);
    const agreed = agreedOn(this.#contract?.streams, name);
    const form = `stream(${JSON.stringify(name)}, async function* (params) { … })`;
    const output = checkedSchema(definition.output === undefined ? agreed?.output : definition.output, name);
    const items = { check: output === null ? null : new Validator(output, "result") };
    return this.#add(definition, agreed, splitHandler(name, form, schemaOrHandler, maybeHandler), scope, items);
  }

  #add(
    definition: MethodDefinition,
    agreed: MethodContract | undefined,
    { schema, handler }: SplitHandler<Handler>,
    { middlewares, roles }: HandlerScope<Peer>,
    output: Items | null = null,
  ): Disposer {
    const { name } = definition;
    const params = schema ?? checkedSchema(definition.params === undefined ? agreed?.params : definition.params, name);
    const result = checkedSchema(definition.result === undefined ? agreed?.result : definition.result, name);
    const input = inputOf(definition.input ?? agreed?.input, name);
    const progress = checkedSchema(definition.progress ?? agreed?.progress, name);
    return this.#registry.addMethod({
      access: this.#accessOf(name, agreed?.roles, definition.roles, roles),
      input,
      output,
      info: {
        name,
        description: definition.description ?? "",
        parameters: describeParams(params),
        return_type: output ? "AsyncIterator" : describeResult(result),
        requires_auth: definition.requiresAuth ?? true,
      },
      describeToNetconduit: () => describeParams(params, "netconduit"),
      params: params === null ? null : new Validator(params, "params"),
      result: result === null ? null : new Validator(result, "result"),
      progress: progress === null ? null : new Validator(progress, "progress"),
      middlewares: middlewares.current,
      handler: handler as MethodEntry<Peer>["handler"],
    });
  }

  /** Registers a handler for every method and stream of the contract, or none of them. */
  addMethods(handlers: Readonly<Record<string, Handler>>, scope?: HandlerScope<Peer>): Disposer {
    const given: unknown = handlers;
    if (typeof given !== "object" || given === null || Array.isArray(given)) {
      const message = `implement() takes an object of handlers by their names, got ${describeValue(given)}`;
      throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
    }
    this.#mustHaveAll("implement the contract", (name) => Object.hasOwn(handlers, name), Object.keys(handlers));
    const disposers: Disposer[] = [];
    try {
      for (const [name, handler] of Object.entries(handlers)) {
        const isStream = agreedOn(this.#contract?.streams, name) !== undefined;
        const dispose = isStream
          ? this.addStream(name, handler, undefined, scope)
          : this.addMethod(name, handler, undefined, scope);
        disposers.push(dispose);
      }
    } catch (error) {
      disposeAll(disposers);
      throw error;
    }
    return () => disposeAll(disposers);
  }

  /** Registers `(handler, options)` or `(schema, handler, options)` for one or several types of messages. */
  addMessageHandler(
    type: string | readonly string[],
    schemaOrHandler: Schema | Handler,
    handlerOrOptions: Handler | MessageOptions | undefined,
    maybeOptions?: MessageOptions,
    scope: HandlerScope<Peer> = this,
  ): Disposer {
    const maybeHandler = typeof handlerOrOptions === "function" ? handlerOrOptions : undefined;
    const options = typeof handlerOrOptions === "function" ? maybeOptions : handlerOrOptions;
    ON.check(options, type);
    const takesPeer = this.#isServer;
    const middlewares = scope.middlewares.current;
    checkTypes(type, takesPeer);
    const form = `on(${JSON.stringify(type)}, (${takesPeer ? "connection, data" : "data"}) => …)`;
    const { schema, handler } = splitHandler(String(type), form, schemaOrHandler, maybeHandler);
    const types = typeof type === "string" ? [type] : type;
    for (const one of types) this.#mustList("message", this.#contract?.messages, one);
    const disposers = types.map((one) => {
      const entry = agreedOn(this.#contract?.messages, one);
      const agreed = entry === undefined ? undefined : agreedData(entry);
      const check = schema ?? checkedSchema(agreed?.schema, one);
      const access = this.#accessOf(one, agreed?.roles, options?.roles, scope.roles);
      return this.#registry.addHandler({
        type: one,
        access,
        data: check === null ? null : new Validator(check, "data"),
        middlewares,
        takesPeer,
        handler,
      } as MessageEntry<Peer>);
    });
    return () => disposeAll(disposers);
  }

  /** @throws ConduitError INVALID_CONFIG if the contract lacks this name, so that no typed peer could call it */
  #mustList(what: string, entries: Readonly<Record<string, unknown>> | undefined, name: string): void {
    if (this.#contract === undefined || (entries !== undefined && Object.hasOwn(entries, name))) return;
    const side = this.#isServer ? "server" : "client";
    const message = `The contract lists no ${what} '${name}' of the ${side}${didYouMean(name, Object.keys(entries ?? {}))}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }

  #accessOf(name: string, ...roles: (readonly string[] | undefined)[]): Access | null {
    const access = accessOf(name, ...roles);
    if (access === null || this.#isServer) return access;
    throw new ConduitError(
      ErrorCode.INVALID_CONFIG,
      `'${name}' has roles, but only clients have: register it on a server`,
    );
  }

  /** @throws ConduitError INVALID_STATE if a method of the contract has no handler */
  mustBeComplete(action: string): void {
    this.#mustHaveAll(action, (name) => this.#registry.method(name) !== undefined);
  }

  /** @param given registered names, to suggest those missing from the contract as misspellings */
  #mustHaveAll(action: string, has: (name: string) => boolean, given: readonly string[] = []): void {
    const names = Object.keys({ ...this.#contract?.methods, ...this.#contract?.streams });
    const missing = names.filter((name) => !has(name));
    if (missing.length === 0) return;
    const message = `Cannot ${action}: no handler for ${listed(missing)}${notAgreedOn(given.filter((name) => !names.includes(name)))}`;
    throw new ConduitError(ErrorCode.INVALID_STATE, message, { details: { missing } });
  }
}

function listed(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(", ");
}

function notAgreedOn(names: readonly string[]): string {
  return names.length === 0 ? "" : `; the contract doesn't have ${listed(names)}`;
}

/** @throws ConduitError INVALID_CONFIG */
function definitionOf<D extends { readonly name: string }>(
  given: string | D,
  known: KnownOptions<D>,
  form: string,
): D | { readonly name: string } {
  const name: unknown = typeof given === "object" && given !== null ? given.name : given;
  if (typeof name !== "string" || name === "") {
    const message = `The name of a method must be a non-empty string, got ${describeValue(name)}: ${form}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  if (typeof given === "string") return { name };
  known.check(given, name);
  return given;
}

/** @throws ConduitError INVALID_CONFIG unless the argument is one or more message types */
function checkTypes(type: unknown, takesPeer: boolean): void {
  const types: readonly unknown[] = Array.isArray(type) ? type : [type];
  if (types.length > 0 && types.every((one) => typeof one === "string" && one !== "")) return;
  const form = `on("type", (${takesPeer ? "connection, data" : "data"}) => …)`;
  const message = `The type of a message must be a non-empty string, or an array of them, got ${describeValue(type)}: ${form}`;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
}

function disposeAll(disposers: readonly Disposer[]): void {
  for (const dispose of disposers) dispose();
}

interface SplitHandler<H> {
  readonly schema: Schema | null;
  readonly handler: H;
}

/**
 * Distinguishes `(handler)` from `(schema, handler)`. `form` is the intended call, for the error message.
 * @throws ConduitError INVALID_CONFIG
 */
function splitHandler<H extends (...args: never[]) => unknown>(
  name: string,
  form: string,
  schemaOrHandler: Schema | H,
  maybeHandler: H | undefined,
): SplitHandler<H> {
  const handler = maybeHandler ?? schemaOrHandler;
  if (typeof handler !== "function") {
    const mistake = schemaOrHandler === undefined ? ", passed in the same call (this is not a decorator)" : "";
    const message = `The handler of '${name}' must be a function${mistake}: ${form}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  const schema = maybeHandler === undefined ? null : checkedSchema(schemaOrHandler as Schema, name);
  return { schema, handler: handler as H };
}

/** The validator of a method's input items; null if it takes none. */
function inputOf(input: Schema | true | undefined, name: string): Items | null {
  if (input === undefined) return null;
  const schema = input === true ? null : checkedSchema(input, name);
  return { check: schema === null ? null : new Validator(schema, "input") };
}

function checkedSchema(schema: Schema | undefined, name: string): Schema | null {
  if (schema === undefined) return null;
  if (isSchema(schema)) return schema;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, `The schema of '${name}' ${SCHEMA_RULE}`);
}
