import { describe, expect, test } from "vitest";
import { parseClientOptions } from "../packages/core/src/client/client-options.ts";
import { ConduitError } from "../packages/core/src/errors.ts";
import { parsePoolOptions } from "../packages/core/src/pool/pool-options.ts";
import { parseServerOptions } from "../packages/core/src/server/server-options.ts";
import { interfaceMembers } from "./lib/interfaces.ts";
import { codeIn, readText, tableRows } from "./lib/markdown.ts";

const GUIDE = readText("docs/guide.md");
const CORE = "packages/core/src";
const common = interfaceMembers(`${CORE}/endpoint/endpoint-options.ts`, "PeerOptions");
const contract = interfaceMembers(`${CORE}/endpoint/contract-option.ts`, "ContractOption");

const server = { password: "secret123" };
const client = { password: "secret123", host: "127.0.0.1", port: 8080 };
const pool = { password: "secret123", servers: [{ host: "127.0.0.1", port: 8080 }] };
const material = { cert: "a.crt", key: "a.key" };

interface OptionTable {
  /** Heading and first column of the table in the guide. */
  readonly heading: string;
  readonly column: string;
  /** Prefix of the names in the table. */
  readonly prefix: string;
  /** The names in the types. */
  readonly names: readonly string[];
  /** A configuration with all defaults. */
  readonly config: object;
  /** The minimal accepted options; without any of them, the parser throws. */
  readonly least: Readonly<Record<string, unknown>>;
  parse(options: Readonly<Record<string, unknown>>): unknown;
}

const tables: readonly OptionTable[] = [
  {
    heading: "Server options",
    column: "Option",
    prefix: "",
    names: [
      ...interfaceMembers(`${CORE}/server/server-options.ts`, "ServerOptions"),
      ...interfaceMembers(`${CORE}/server/server.ts`, "ServerInit"),
      ...contract,
      ...common,
    ],
    config: parseServerOptions(server),
    least: server,
    parse: parseServerOptions,
  },
  {
    heading: "Server options",
    column: "Rate limit",
    prefix: "rateLimit.",
    names: interfaceMembers(`${CORE}/server/server-options.ts`, "RateLimitOptions"),
    config: parseServerOptions({ ...server, rateLimit: {} }).rateLimit ?? {},
    least: {},
    parse: (rateLimit) => parseServerOptions({ ...server, rateLimit }),
  },
  {
    heading: "Server options",
    column: "Authenticate",
    prefix: "authenticate.",
    names: interfaceMembers(`${CORE}/server/server-options.ts`, "AuthenticateOptions"),
    config: parseServerOptions({ ...server, authenticate: {} }).authenticate ?? {},
    least: {},
    parse: (authenticate) => parseServerOptions({ ...server, authenticate }),
  },
  {
    heading: "Client options",
    column: "Option",
    prefix: "",
    names: [
      ...interfaceMembers(`${CORE}/client/client-options.ts`, "ClientSettings"),
      ...interfaceMembers(`${CORE}/client/client-options.ts`, "TcpTarget"),
      ...contract,
      ...common,
    ],
    config: parseClientOptions(client),
    least: client,
    parse: parseClientOptions,
  },
  {
    heading: "Client pools",
    column: "Option",
    prefix: "",
    names: interfaceMembers(`${CORE}/pool/pool-options.ts`, "PoolOptions"),
    config: parsePoolOptions(pool),
    least: pool,
    parse: parsePoolOptions,
  },
  {
    heading: "Reconnecting",
    column: "Option",
    prefix: "reconnect.",
    names: interfaceMembers(`${CORE}/client/client-options.ts`, "ReconnectOptions"),
    config: parseClientOptions(client).reconnect,
    least: {},
    parse: (reconnect) => parseClientOptions({ ...client, reconnect }),
  },
  {
    heading: "TLS",
    column: "TLS option of a server",
    prefix: "tls.",
    names: interfaceMembers("packages/core/src/runtime.ts", "TlsServerOptions"),
    config: parseServerOptions({ ...server, tls: material }).tls ?? {},
    least: material,
    parse: (tls) => parseServerOptions({ ...server, tls }),
  },
  {
    heading: "TLS",
    column: "TLS option of a client",
    prefix: "tls.",
    names: interfaceMembers("packages/core/src/runtime.ts", "TlsClientOptions"),
    config: parseClientOptions({ ...client, tls: {} }).tls ?? {},
    least: {},
    parse: (tls) => parseClientOptions({ ...client, tls }),
  },
];

/** The options of a table: name without prefix, and the column "Default". */
function documented({ heading, column, prefix }: OptionTable): { name: string; shown: string }[] {
  return tableRows(GUIDE, heading, column).map((row) => {
    const option = codeIn(row[column] ?? "");
    expect(option.startsWith(prefix)).toBe(true);
    return { name: option.slice(prefix.length), shown: row["Default"] ?? "" };
  });
}

/** The parser's error for the minimal options without `name`. */
function refusalWithout(table: OptionTable, name: string): string {
  const { [name]: _, ...rest } = table.least;
  try {
    table.parse(rest);
  } catch (error) {
    if (error instanceof ConduitError) return error.message;
  }
  return "";
}

describe.each(tables)('the table "$column" under "$heading" in the guide', (table) => {
  test("has the code's option names, each once", () => {
    expect(
      documented(table)
        .map(({ name }) => name)
        .sort(),
    ).toEqual([...table.names].sort());
  });

  test.each(documented(table))("has the code's default of $name", ({ name, shown }) => {
    const value = (table.config as Readonly<Record<string, unknown>>)[name];
    if (shown === "required")
      expect(refusalWithout(table, name)).toMatch(new RegExp(`option ${table.prefix}${name} of the \\w+: is required`));
    else if (shown === "none") expect([undefined, null, Number.POSITIVE_INFINITY]).toContain(value);
    else if (shown === "see below") expect(value).toEqual(parseClientOptions(client).reconnect);
    else expect(value).toEqual(JSON.parse(codeIn(shown)));
  });
});
