import { expect, test } from "vitest";
import { failureCodes } from "../packages/core/src/auth/client-handshake.ts";
import { ErrorCode, errorCodeName } from "../packages/core/src/errors.ts";
import { connectCodes, streamCodes } from "../packages/core/src/sockets/error-codes.ts";
import { readText, tableRows } from "./lib/markdown.ts";

const rows = tableRows(readText("docs/guide.md"), "Connect and disconnect", "Cause");
const named = new Set(rows.flatMap((row) => [...(row["Code"] ?? "").matchAll(/`(\w+)`/g)].map(([, name]) => name)));

const { CONNECTION_ERROR, CONNECT_TIMEOUT, SERVER_NOT_TRUSTED, NOT_NETCONDUIT } = ErrorCode;
const ofTls = Object.values(ErrorCode).filter((code) => code >= 8000);
const all = [
  ...[CONNECTION_ERROR, CONNECT_TIMEOUT, SERVER_NOT_TRUSTED, NOT_NETCONDUIT, ...ofTls],
  ...[...connectCodes.values(), ...streamCodes.values(), ...(failureCodes as ReadonlySet<number>)],
];

test.each([...new Set(all)].map(errorCodeName))(
  "the guide says that connect() may reject with %s, and when",
  (name) => {
    expect([...named]).toContain(name);
  },
);
