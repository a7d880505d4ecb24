import { ErrorCode, fieldErrors, RpcError } from "@netconduit/core";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { PATIENT, stagedOn } from "./stage.ts";

const AddParams = v.object({ a: v.number(), b: v.number() });

/** Schemas of parameters and results, from several libraries. */
export function describeRpcSchemas(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`schemas of RPC on ${subject.name}`, PATIENT, () => {
    test(
      "valibot: the handler gets defaults and transformations",
      staged(async (stage) => {
        const server = await stage.listen();
        const schema = v.object({ id: v.pipe(v.string(), v.transform(Number)), limit: v.optional(v.number(), 10) });
        server.rpc("echo", schema, (params) => params);
        const client = await stage.join(server);
        expect(await client.call("echo", { id: "7" })).toEqual({ id: 7, limit: 10 });
      }),
    );

    test(
      "zod: the handler gets defaults and transformations",
      staged(async (stage) => {
        const server = await stage.listen();
        const schema = z.object({ id: z.string().transform(Number), limit: z.number().default(10) });
        server.rpc("echo", schema, (params) => params);
        const client = await stage.join(server);
        expect(await client.call("echo", { id: "7" })).toEqual({ id: 7, limit: 10 });
      }),
    );

    test(
      "a schema may be asynchronous",
      staged(async (stage) => {
        const server = await stage.listen();
        const taken = async (name: string): Promise<boolean> => name === "ada";
        const schema = z.object({ name: z.string().refine(async (name) => !(await taken(name)), "taken") });
        server.rpc("register", schema, ({ name }) => name);
        const client = await stage.join(server);
        expect(await client.call("register", { name: "bob" })).toBe("bob");
        expect((await failureOf(client.call("register", { name: "ada" }))).code).toBe(ErrorCode.VALIDATION);
      }),
    );

    for (const [library, schema] of [
      [
        "valibot",
        v.object({
          name: v.string(),
          age: v.pipe(v.number(), v.minValue(0, "must not be negative")),
          address: v.object({ street: v.string() }),
        }),
      ],
      [
        "zod",
        z.object({
          name: z.string(),
          age: z.number().min(0, "must not be negative"),
          address: z.object({ street: z.string() }),
        }),
      ],
    ] as const) {
      test(
        `${library}: a validation error lists every field with its path and code`,
        staged(async (stage) => {
          const server = await stage.listen();
          server.rpc("create", schema, () => "created");
          const client = await stage.join(server);
          const failure = await failureOf(client.call("create", { age: -1, address: { street: 5 } }));
          expect(failure.code).toBe(ErrorCode.VALIDATION);
          expect(failure.message).toMatch(
            /^Validation error in create: (name|age|address\.street): .+ \(and 2 more\)$/,
          );
          const errors = (failure.details as { errors: { field: string; code: number }[] }).errors;
          expect(errors.map(({ field, code }) => [field, code]).sort()).toEqual([
            ["address.street", ErrorCode.INVALID_TYPE],
            ["age", ErrorCode.VALIDATION],
            ["name", ErrorCode.MISSING_FIELD],
          ]);
          expect(errors).toContainEqual({
            field: "age",
            path: ["age"],
            message: "must not be negative",
            code: ErrorCode.VALIDATION,
          });
        }),
      );

      test(
        `${library}: fields that fail alike give the error their code`,
        staged(async (stage) => {
          const server = await stage.listen();
          server.rpc("create", schema, () => "created");
          const client = await stage.join(server);
          const missing = failureOf(client.call("create", { age: 1 }));
          const wrongType = failureOf(client.call("create", { name: 1, age: "1", address: { street: null } }));
          expect((await missing).code).toBe(2001);
          expect((await wrongType).code).toBe(2002);
        }),
      );
    }

    test(
      "the handler does not run when its parameters are wrong",
      staged(async (stage) => {
        const server = await stage.listen();
        const heard = new EventLog<unknown>();
        server.rpc("add", AddParams, (params) => heard.add(params));
        const client = await stage.join(server);
        await failureOf(client.call("add", { a: "1", b: 2 }));
        expect(heard.all).toEqual([]);
      }),
    );

    test(
      "a result schema shapes what is sent",
      staged(async (stage) => {
        const server = await stage.listen();
        const result = v.object({ id: v.number(), name: v.string() });
        server.rpc({ name: "user", result }, () => ({ id: 1, name: "Ada", passwordHash: "…" }));
        const client = await stage.join(server);
        expect(await client.call("user")).toEqual({ id: 1, name: "Ada" });
      }),
    );

    for (const [kind, result] of [
      ["synchronous", z.object({ id: z.number() })],
      ["asynchronous", z.object({ id: z.number().refine(async () => true) })],
    ] as const) {
      test(
        `a result that breaks its ${kind} schema is the server's fault: INTERNAL for the caller, the fields for onError`,
        staged(async (stage) => {
          const server = await stage.listen();
          const errors = new EventLog<{ error: Error; stage: string; name: string | undefined }>();
          server.onError((error, context) => errors.add({ error, stage: context.stage, name: context.name }));
          server.rpc({ name: "user", result }, () => ({ id: "one" }) as never);
          const client = await stage.join(server);
          const failure = await failureOf(client.call("user"));
          expect(failure).toMatchObject({ code: ErrorCode.INTERNAL, message: "Internal server error" });
          expect(Object.keys(failure.details ?? {})).toEqual(["failure_id"]);
          const reported = await errors.next();
          expect(reported).toMatchObject({ stage: "rpc", name: "user", error: { code: ErrorCode.INVALID_RESULT } });
          expect(reported.error.message).toMatch(/^Validation error in the result of user: id: /);
        }),
      );
    }

    test(
      "a caller may check the result with a schema of its own",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("when", () => "2026-01-01");
        const client = await stage.join(server);
        const result = v.pipe(
          v.string(),
          v.transform((text) => new Date(text)),
        );
        expect(await client.call("when", {}, { result })).toEqual(new Date("2026-01-01"));
        const failure = await failureOf(client.call("when", {}, { result: v.number() }));
        expect(failure).not.toBeInstanceOf(RpcError);
        expect(failure).toMatchObject({ code: ErrorCode.INVALID_RESULT });
        expect(fieldErrors(failure)).toMatchObject([{ field: "", code: ErrorCode.INVALID_TYPE }]);
      }),
    );
  });
}
