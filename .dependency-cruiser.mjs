/**
 * Which way imports go, checked by `pnpm lint`: in no circle anywhere, and in the core only to earlier rooms. Imports of
 * types count.
 */

/**
 * The rooms of packages/core/src, in order: a file imports from its own room and earlier ones. Rooms on one line don't
 * import each other.
 */
const LINES = [
  ["text/", "error-codes.ts"],
  ["errors.ts", "limits.ts"],
  ["util/"],
  ["bytes/"],
  ["runtime.ts"],
  ["store/"],
  ["wire/"],
  ["sockets/"],
  ["netconduit/"],
  ["auth/"],
  ["rpc/"],
  ["context/"],
  ["connection/send/", "connection/receive/"],
  ["connection/"],
  ["extensions/"],
  ["endpoint/"],
  ["cluster/"],
  ["client/", "server/"],
  ["pool/"],
  ["testing/"],
  ["index.ts", "adapter.ts", "testing.ts"],
];

const CORE = "^packages/core/src/";
/** Tests and their helpers import from any room. */
const TESTS = "\\.(test|test-d)\\.ts$|^packages/core/src/test-support/";

/** A pattern for the files of rooms; `connection/` leaves out the rooms inside it. */
function filesOf(rooms) {
  const paths = rooms.map((room) => (room === "connection/" ? `${room}(?!send/|receive/)` : room.replace(".", "\\.")));
  return `${CORE}(${paths.join("|")})`;
}

function ruleOfRoom(room, line) {
  const beside = LINES[line].filter((other) => other !== room);
  return {
    name: `${room} imports only from earlier rooms`,
    severity: "error",
    from: { path: filesOf([room]), pathNot: TESTS },
    to: { path: filesOf([...beside, ...LINES.slice(line + 1).flat()]) },
  };
}

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    {
      name: "no circle of imports",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    ...LINES.flatMap((rooms, line) => rooms.map((room) => ruleOfRoom(room, line))),
    {
      name: "every file of the core is in a room",
      severity: "error",
      from: {},
      to: { path: CORE, pathNot: [filesOf(LINES.flat()), TESTS] },
    },
    {
      name: "sources don't import tests",
      severity: "error",
      from: { path: "^packages/[^/]+/src/", pathNot: TESTS },
      to: { path: TESTS },
    },
    {
      name: "a runtime package imports @netconduit/core and no other package of ours",
      severity: "error",
      from: { path: "^packages/(node|bun|deno|nats)/src/", pathNot: TESTS },
      to: { path: "^packages/", pathNot: ["^packages/$1/src/", `${CORE}(index|adapter)\\.ts$`] },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(^|/)(dist|coverage)/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.tests.json" },
    enhancedResolveOptions: { extensions: [".ts", ".d.ts", ".js", ".mjs", ".json"] },
  },
};
