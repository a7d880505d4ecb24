import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { incomingRequest, RecordingSource } from "../test-support/recording-source.ts";
import { AccessControl } from "./access.ts";
import { Dispatcher, type DispatchHost } from "./dispatcher.ts";
import type { HandlerContext } from "./incoming-request.ts";
import { Registry } from "./registry.ts";
import { Validator } from "./validation.ts";

function bench(exposeErrors = false) {
  const runtime = fakeRuntime();
  const registry = new Registry<string>();
  const reports: unknown[] = [];
  const unknown: unknown[] = [];
  const host: DispatchHost<string> = {
    registry,
    exposeErrors,
    access: new AccessControl(),
    reportError: (error, stage, from, name) =>
      reports.push([error instanceof Error ? error.message : error, stage, from, name]),
    onceOwner: () => "",
    makeAnswers: () => {
      throw new Error("Not expected");
    },
    deadLetter: () => undefined,
    newFailureId: () => "f1",
    unknownMessage: (from, type, data) => unknown.push([from, type, data]) > 99,
  };
  const dispatcher = new Dispatcher<string>(host);
  const peer = new RecordingSource(runtime);
  const method = (
    handler: (params: never, context: HandlerContext<string>) => unknown,
    schemas: {
      readonly params?: v.GenericSchema;
      readonly result?: v.GenericSchema;
      readonly requiresAuth?: boolean;
    } = {},
  ): void => {
    const { params, result, requiresAuth: requires_auth = true } = schemas;
    registry.addMethod({
      info: { name: "m", description: "", parameters: { a: "int | None" }, return_type: "any", requires_auth },
      describeToNetconduit: () => ({ a: "int" }),
      params: params === undefined ? null : new Validator(params, "params"),
      result: result === undefined ? null : new Validator(result, "result"),
      handler: handler as never,
    });
  };
  const on = (
    handler: (peer: string, data: never, context: HandlerContext<string>) => unknown,
    schema?: v.GenericSchema,
  ): (() => void) =>
    registry.addHandler({
      type: "t",
      data: schema === undefined ? null : new Validator(schema, "data"),
      takesPeer: true,
      handler: handler as never,
    });
  const call = async (params: unknown = {}, hi = 0, lo = 1, timeoutMs = 0): Promise<unknown[]> => {
    dispatcher.dispatch(
      peer,
      incomingRequest(peer, { method: "m", value: params, idHi: hi, idLo: lo, timeoutMs: timeoutMs }),
    );
    await runtime.settle();
    return peer.sent.splice(0);
  };
  const message = async (data: unknown = null, lo = 1): Promise<unknown[]> => {
    dispatcher.dispatch(peer, incomingRequest(peer, { isCall: false, method: "t", value: data, idHi: 0, idLo: lo }));
    await runtime.settle();
    return peer.sent.splice(0);
  };
  return { runtime, dispatcher, peer, method, on, call, message, reports, unknown };
}

/** Returns an async schema that accepts numbers greater than `least`. */
function slowNumber(least: number): v.GenericSchema {
  const schema = v.pipeAsync(
    v.number(),
    v.checkAsync(async (n) => n > least, `must be over ${least}`),
  );
  return schema as unknown as v.GenericSchema;
}

const INTERNAL = { code: ErrorCode.INTERNAL, message: "Internal server error", details: { failure_id: "f1" } };

describe("a call", () => {
  test("of a synchronous handler is answered in the same turn, without a promise", () => {
    const { dispatcher, peer, method } = bench();
    method(() => 7);
    dispatcher.dispatch(peer, incomingRequest(peer, { method: "m", value: {}, idHi: 3, idLo: 4, timeoutMs: 0 }));
    expect(peer.sent).toEqual([{ hi: 3, lo: 4, result: 7 }]);
    expect(peer.running.size).toBe(0);
  });

  test("of an asynchronous handler counts as running until it settles", async () => {
    const { runtime, dispatcher, peer, method } = bench();
    const done = gate<number>();
    method(() => done.promise);
    dispatcher.dispatch(peer, incomingRequest(peer, { method: "m", value: {}, idHi: 0, idLo: 1, timeoutMs: 0 }));
    expect([peer.running.size, peer.sent]).toEqual([1, []]);
    done.open(7);
    await runtime.settle();
    expect([peer.running.size, peer.sent]).toEqual([0, [{ hi: 0, lo: 1, result: 7 }]]);
  });

  test("of an unknown method is METHOD_NOT_FOUND", () => {
    const { dispatcher, peer } = bench();
    dispatcher.dispatch(peer, incomingRequest(peer, { method: "nope", value: {}, idHi: 0, idLo: 1, timeoutMs: 0 }));
    expect(peer.sent).toMatchObject([{ code: ErrorCode.METHOD_NOT_FOUND, message: "RPC method not found: nope" }]);
  });

  test("of listall answers discovery", () => {
    const { dispatcher, peer, method } = bench();
    method(() => null);
    dispatcher.dispatch(peer, incomingRequest(peer, { method: "listall", value: {}, idHi: 0, idLo: 1, timeoutMs: 0 }));
    expect(peer.sent).toMatchObject([{ result: { methods: [{ name: "m" }], count: 1 } }]);
  });

  test("of listall describes defaulted parameters to a netconduit client as Python declares them", () => {
    const { dispatcher, peer, method } = bench();
    method(() => null);
    const list = (): void => dispatcher.dispatch(peer, incomingRequest(peer, { method: "listall" }));
    list();
    peer.hasNetconduitPeer = true;
    list();
    const parameters = (a: string) => ({ result: { methods: [{ name: "m", parameters: { a } }], count: 1 } });
    expect(peer.sent).toMatchObject([parameters("int | None"), parameters("int")]);
  });

  test("before login is AUTH_REQUIRED, unless the method is open to all", async () => {
    const closed = bench();
    closed.peer.isAuthenticated = false;
    closed.method(() => 1);
    expect(await closed.call()).toMatchObject([{ code: ErrorCode.AUTH_REQUIRED }]);
    const open = bench();
    open.peer.isAuthenticated = false;
    open.method(() => 1, { requiresAuth: false });
    expect(await open.call()).toMatchObject([{ result: 1 }]);
  });

  test("gets the schema's output as parameters", async () => {
    const { method, call } = bench();
    method((params) => params, { params: v.object({ n: v.optional(v.number(), 5) }) });
    expect(await call({})).toMatchObject([{ result: { n: 5 } }]);
  });

  test("with wrong parameters is answered with every field and does not reach the handler", async () => {
    const { method, call, reports } = bench();
    method(() => expect.unreachable(), { params: v.object({ a: v.number(), b: v.string() }) });
    expect(await call({ a: "x" })).toMatchObject([
      {
        code: ErrorCode.VALIDATION,
        details: {
          errors: [
            { field: "a", code: ErrorCode.INVALID_TYPE },
            { field: "b", code: ErrorCode.MISSING_FIELD },
          ],
        },
      },
    ]);
    expect(reports).toEqual([]);
  });

  test("waits for a schema that is asynchronous, and counts as running meanwhile", async () => {
    const { runtime, dispatcher, peer, method } = bench();
    method((n) => n, { params: slowNumber(1) });
    dispatcher.dispatch(peer, incomingRequest(peer, { method: "m", value: 2, idHi: 0, idLo: 1, timeoutMs: 0 }));
    dispatcher.dispatch(peer, incomingRequest(peer, { method: "m", value: 1, idHi: 0, idLo: 2, timeoutMs: 0 }));
    expect(peer.running.size).toBe(2);
    await runtime.settle();
    expect([peer.running.size, peer.sent]).toMatchObject([
      0,
      [
        { lo: 1, result: 2 },
        { lo: 2, code: ErrorCode.VALIDATION },
      ],
    ]);
  });

  test.each([
    [
      "thrown",
      () => {
        throw new RpcError(4010, "No", { details: { id: 1 } });
      },
    ],
    ["returned", () => new RpcError(4010, "No", { details: { id: 1 } })],
    [
      "rejected with",
      async () => {
        throw new RpcError(4010, "No", { details: { id: 1 } });
      },
    ],
    ["resolved with", async () => new RpcError(4010, "No", { details: { id: 1 } })],
  ])("whose handler has an RpcError %s travels with code, message and details, unreported", async (_how, handler) => {
    const { method, call, reports } = bench();
    method(handler);
    expect(await call()).toEqual([{ hi: 0, lo: 1, message: "No", code: 4010, details: { id: 1 } }]);
    expect(reports).toEqual([]);
  });

  test.each([
    [
      "an Error",
      () => {
        throw new Error("secret");
      },
      "secret",
    ],
    [
      "a ConduitError",
      () => {
        throw new ConduitError(ErrorCode.TIMEOUT, "secret");
      },
      "secret",
    ],
    [
      "a rejection",
      async () => {
        throw new Error("secret");
      },
      "secret",
    ],
    [
      "a string",
      () => {
        // biome-ignore lint/style/useThrowOnlyError: applications do that, too
        throw "secret";
      },
      "secret",
    ],
  ])("whose handler throws %s is INTERNAL outside and told to the host inside", async (_what, handler, inside) => {
    const { method, call, reports } = bench();
    method(handler);
    expect(await call()).toMatchObject([INTERNAL]);
    expect(reports).toEqual([[inside, "rpc", "the peer", "m"]]);
  });

  test("shows the text of errors where that is asked for", async () => {
    const { method, call } = bench(true);
    method(() => {
      throw new Error("what went wrong");
    });
    expect(await call()).toMatchObject([{ code: ErrorCode.INTERNAL, message: "what went wrong" }]);
  });

  test.each([
    ["a bare object", Object.create(null)],
    [
      "an object whose text throws",
      {
        toString: () => {
          throw new Error("no");
        },
      },
    ],
    ["undefined", undefined],
    ["a symbol", Symbol("s")],
  ])("whose handler throws %s is answered all the same", async (_what, thrown) => {
    for (const exposeErrors of [true, false]) {
      const { method, call } = bench(exposeErrors);
      method(async () => {
        throw thrown;
      });
      expect(await call()).toMatchObject([{ code: ErrorCode.INTERNAL }]);
    }
  });

  test("that wants no answer gets none, not even an error", async () => {
    const handlers: (() => unknown)[] = [
      () => 1,
      async () => 1,
      () => new RpcError(4010, "No"),
      () => {
        throw new Error("no");
      },
      async () => {
        throw new Error("no");
      },
    ];
    for (const handler of handlers) {
      const { method, call } = bench();
      method(handler);
      expect(await call({}, 0, 0)).toEqual([]);
    }
    const { dispatcher, peer } = bench();
    dispatcher.dispatch(peer, incomingRequest(peer, { method: "unknown", value: {}, idHi: 0, idLo: 0, timeoutMs: 0 }));
    dispatcher.dispatch(peer, incomingRequest(peer, { method: "listall", value: {}, idHi: 0, idLo: 0, timeoutMs: 0 }));
    expect(peer.sent).toEqual([]);
  });

  test("whose result does not fit its schema is INTERNAL outside and told to the host inside", async () => {
    const { method, call, reports } = bench();
    method(() => "text", { result: v.number() });
    expect(await call()).toMatchObject([INTERNAL]);
    const message = 'Validation error in the result of m: Invalid type: Expected number but received "text"';
    expect(reports).toEqual([[message, "rpc", "the peer", "m"]]);
  });

  test("is answered with the schema's output, also that of an asynchronous schema", async () => {
    const sync = bench();
    sync.method(() => 5, {
      result: v.pipe(
        v.number(),
        v.transform((n) => n * 2),
      ),
    });
    expect(await sync.call()).toMatchObject([{ result: 10 }]);
    const slow = bench();
    slow.method((n) => n, { result: slowNumber(1) });
    expect([await slow.call(2), await slow.call(1)]).toMatchObject([[{ result: 2 }], [INTERNAL]]);
    expect(slow.reports).toHaveLength(1);
  });

  test("does not send an RpcError through the schema of the result", async () => {
    const { method, call } = bench();
    method(() => new RpcError(4010, "No"), { result: v.number() });
    expect(await call()).toMatchObject([{ code: 4010 }]);
  });

  test("whose result cannot be serialized is INTERNAL outside and told to the host inside", async () => {
    const { method, call, peer, reports } = bench();
    method(() => 1);
    peer.refuse = new ConduitError(ErrorCode.UNSERIALIZABLE, "result.f is a function");
    expect(await call()).toMatchObject([INTERNAL]);
    expect(reports).toEqual([["result.f is a function", "rpc", "the peer", "m"]]);
  });

  test("whose result is too large says so", async () => {
    const { method, call, peer, reports } = bench();
    method(() => 1);
    peer.refuse = new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, "too large");
    expect(await call()).toMatchObject([{ code: ErrorCode.MESSAGE_TOO_LARGE, message: "too large" }]);
    expect(reports).toHaveLength(1);
  });

  test.each([
    [
      "throws",
      {
        // biome-ignore lint/suspicious/noThenProperty: a thenable is what this is about
        then: () => {
          throw new Error("broken");
        },
      },
      INTERNAL,
    ],
    [
      "settles twice",
      {
        // biome-ignore lint/suspicious/noThenProperty: a thenable is what this is about
        then: (resolve: (value: number) => void) => {
          resolve(1);
          resolve(2);
        },
      },
      { result: 1 },
    ],
  ])(
    "whose handler returns a thenable that %s is answered once and no longer counts as running",
    async (_w, thenable, answer) => {
      const { method, call, peer } = bench();
      method(() => thenable);
      expect([await call(), peer.running.size]).toMatchObject([[answer], 0]);
    },
  );

  test("gives the handler its context; its timer ends with the handler", async () => {
    const { method, call, runtime } = bench();
    const contexts: HandlerContext<string>[] = [];
    method((_params, context) => {
      contexts.push(context);
      return context.signal.aborted;
    });
    expect(await call({}, 0, 1, 100)).toMatchObject([{ result: false }]);
    expect(contexts[0]).toMatchObject({ client: "the peer", method: "m", isScheduled: false });
    await runtime.advance(500);
    expect(contexts[0]?.signal.aborted).toBe(false);
  });
});

describe("a message", () => {
  test("without a handler goes to the hook, and a request for a reply is NO_HANDLER", async () => {
    const { message, unknown } = bench();
    expect(await message("data", 0)).toEqual([]);
    expect(await message("data", 1)).toMatchObject([{ code: ErrorCode.NO_HANDLER }]);
    expect(unknown).toEqual([
      ["the peer", "t", "data"],
      ["the peer", "t", "data"],
    ]);
  });

  test("with an id is answered under that id, with null if the handler returns nothing", async () => {
    const { message, on } = bench();
    on(() => undefined);
    expect(await message()).toEqual([{ hi: 0, lo: 1, result: undefined }]);
  });

  test("without an id is not answered: its sender did not ask", async () => {
    const { message, on } = bench();
    on(() => "text");
    expect(await message({}, 0)).toEqual([]);
  });

  test("without an id is answered to a plain peer by <type>_response, if there is anything to say", async () => {
    const { message, on, peer } = bench();
    peer.correlatesReplies = false;
    const replies = ["text", undefined, null, 0];
    on(() => replies.shift());
    const sent = [await message({}, 0), await message({}, 0), await message({}, 0), await message({}, 0)];
    expect(sent).toEqual([[{ type: "t_response", data: "text" }], [], [], [{ type: "t_response", data: 0 }]]);
  });

  test("with an id is answered like one without by a peer that does not correlate", async () => {
    const { message, on, peer } = bench();
    peer.correlatesReplies = false;
    on(() => "text");
    expect(await message({}, 9)).toEqual([{ type: "t_response", data: "text" }]);
  });

  test("is answered when its asynchronous handler is done; until then it counts as running", async () => {
    const { runtime, dispatcher, peer, on } = bench();
    const done = gate<string>();
    on(() => done.promise);
    dispatcher.dispatch(peer, incomingRequest(peer, { isCall: false, method: "t", value: null, idHi: 0, idLo: 1 }));
    expect(peer.running.size).toBe(1);
    done.open("text");
    await runtime.settle();
    expect([peer.running.size, peer.sent]).toEqual([0, [{ hi: 0, lo: 1, result: "text" }]]);
  });

  test.each([true, false])("whose handler throws is reported; asked for a reply (%s) it is INTERNAL", async (asks) => {
    for (const handler of [
      () => {
        throw new Error("secret");
      },
      async () => {
        throw new Error("secret");
      },
    ]) {
      const { message, on, reports, peer } = bench();
      on(handler);
      expect(await message({}, asks ? 1 : 0)).toMatchObject(asks ? [INTERNAL] : []);
      expect(reports).toEqual([["secret", "message", "the peer", "t"]]);
      expect(peer.running.size).toBe(0);
    }
  });

  test.each(["thrown", "returned"])("whose handler has an RpcError %s is answered with it", async (how) => {
    const { message, on, reports, peer } = bench();
    const error = new RpcError(4010, "No", { details: { id: 1 } });
    on(() => {
      if (how === "thrown") throw error;
      return error;
    });
    expect(await message()).toEqual([{ hi: 0, lo: 1, message: "No", code: 4010, details: { id: 1 } }]);
    expect(reports).toEqual([]);
    peer.correlatesReplies = false;
    expect(await message({}, 0)).toEqual([
      { type: "t_response", data: { success: false, error: "No", code: 4010, details: { id: 1 } } },
    ]);
  });

  test("without an id whose handler has an RpcError is reported, and not answered", async () => {
    const { message, on, peer } = bench();
    on(() => new RpcError(4010, "No"));
    expect(await message({}, 0)).toEqual([]);
    expect(peer.failed).toEqual([["t", "No"]]);
  });

  test("whose RpcError has no details sends none", async () => {
    const { message, on, peer } = bench();
    peer.correlatesReplies = false;
    on(() => new RpcError(4010, "No"));
    expect(await message({}, 0)).toEqual([{ type: "t_response", data: { success: false, error: "No", code: 4010 } }]);
  });

  test("whose reply cannot be sent is reported", async () => {
    for (const reply of ["text", new RpcError(4010, "No")]) {
      const { message, on, peer, reports } = bench();
      peer.correlatesReplies = false;
      peer.refuse = new ConduitError(ErrorCode.UNSERIALIZABLE, "cannot");
      on(() => reply);
      expect(await message({}, 0)).toEqual([]);
      expect(reports.at(-1)).toEqual(["cannot", "message", "the peer", "t"]);
    }
  });

  test("that does not fit its schema is refused with every field", async () => {
    const { message, on, peer } = bench();
    on(() => expect.unreachable(), v.object({ n: v.number() }));
    expect(await message({})).toMatchObject([{ code: ErrorCode.MISSING_FIELD }]);
    peer.correlatesReplies = false;
    expect(await message({}, 0)).toMatchObject([{ type: "t_response", data: { code: ErrorCode.MISSING_FIELD } }]);
    const refusal = expect.stringMatching(/^Validation error in message t: n: /);
    expect(peer.failed).toEqual([["t", refusal]]);
  });

  test("waits for a schema that is asynchronous", async () => {
    const { message, on } = bench();
    on((_face, data) => data, slowNumber(1));
    expect([await message(2), await message(1)]).toMatchObject([[{ result: 2 }], [{ code: ErrorCode.VALIDATION }]]);
  });

  test("whose handler gives up because its signal fired is no failure to report", async () => {
    const { runtime, dispatcher, peer, on, reports } = bench();
    on((_face, _data, context) => {
      const { promise, fail } = gate<never>();
      context.signal.addEventListener("abort", () => fail(context.signal.reason));
      return promise;
    });
    for (const lo of [0, 1])
      dispatcher.dispatch(peer, incomingRequest(peer, { isCall: false, method: "t", value: null, idHi: 0, idLo: lo }));
    for (const context of peer.running) context.abort(new ConduitError(ErrorCode.CANCELLED, "given up"));
    await runtime.settle();
    expect([reports, peer.running.size]).toEqual([[], 0]);
    expect(peer.sent).toMatchObject([{ lo: 1, code: ErrorCode.CANCELLED, message: "given up" }]);
  });

  test("isn't answered if its handler gave up because the connection has ended", async () => {
    const { runtime, dispatcher, peer, method, reports } = bench();
    method((_params, context) => {
      const { promise, fail } = gate<never>();
      context.signal.addEventListener("abort", () => fail(context.signal.reason));
      return promise;
    });
    dispatcher.dispatch(peer, incomingRequest(peer, { method: "m", value: {}, idHi: 0, idLo: 1, timeoutMs: 0 }));
    peer.isOver = true;
    for (const context of peer.running) context.abort(new ConduitError(ErrorCode.CONNECTION_CLOSED, "It has ended"));
    await runtime.settle();
    expect([reports, peer.running.size, peer.sent]).toEqual([[], 0, []]);
  });

  test("goes to the handlers of its time, whatever handled the message before", async () => {
    const { on, message } = bench();
    const removeFirst = on(() => "first");
    expect(await message()).toMatchObject([{ result: "first" }]);
    const removeSecond = on(() => "second");
    expect(await message()).toMatchObject([{ result: "second" }]);
    removeSecond();
    expect(await message()).toMatchObject([{ result: "first" }]);
    removeFirst();
    expect(await message()).toMatchObject([{ code: ErrorCode.NO_HANDLER }]);
  });

  describe("with several handlers", () => {
    test("runs them all; the last one that returns something gives the reply", async () => {
      const { message, on } = bench();
      const ran: number[] = [];
      for (const [n, reply] of [
        [1, "one"],
        [2, "two"],
        [3, undefined],
      ] as const) {
        on(async () => {
          ran.push(n);
          return reply;
        });
      }
      expect(await message()).toEqual([{ hi: 0, lo: 1, result: "two" }]);
      expect(ran).toEqual([1, 2, 3]);
    });

    test("one that fails does not stop the others, and is reported", async () => {
      const { message, on, reports } = bench();
      on(() => {
        throw new Error("first");
      });
      on(() => "reply");
      on(async () => {
        throw new Error("third");
      });
      expect(await message()).toEqual([{ hi: 0, lo: 1, result: "reply" }]);
      expect(reports.map((report) => (report as unknown[])[0]).sort()).toEqual(["first", "third"]);
    });

    test("a failure is the answer when no other one replied", async () => {
      const { message, on } = bench();
      on(() => {
        throw new RpcError(4010, "No");
      });
      on(() => undefined);
      expect(await message()).toMatchObject([{ code: 4010 }]);
    });
  });
});
