import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Percent of the core's branches that the tests must reach; null: the figure is reported and nothing is demanded. */
const MINIMUM_BRANCH_COVERAGE: number | null = 95;

/** Searches, models and much data, which take three to six times as long under coverage, and one that measures the heap of its process. */
const UNCOVERED = [
  "packages/*/src/**/*.{model,property}.test.ts",
  "packages/core/src/bytes/resumable-stream.test.ts",
  "packages/core/src/extensions/streams/saturation-hours.test.ts",
  "packages/core/src/endpoint/heap.test.ts",
];

/** Tests that read files or work little: as unit tests, they share a process. */
const LIGHT = [
  "{bench,chaos,scripts}/lib/**/*.test.ts",
  "scripts/{rooms,workflows}.test.ts",
  "docs-tests/{architecture,connect-codes,error-codes,guarantees,links,members,minimum-versions,numbers}.test.ts",
  "docs-tests/{options,protocol,reliability,scaling,security,speed}.test.ts",
  "conformance/wire/sentences.test.ts",
  "examples/portability.test.ts",
];

/** Suites on Node.js that run in the tests' own process, and work little. With the unit tests they reach what the coverage must be. */
const COVERED_SUITES = "conformance/{behaviour,transports}/node.test.ts";

/** The files that take longest begin first, so that no core is idle in the end: vitest takes the largest for them. */
const LONGEST = [
  "conformance/nats/node.test.ts",
  "attacks/attacks.test.ts",
  "examples/fleet.test.ts",
  "scripts/install.test.ts",
  "fuzz/fuzz.test.ts",
  "conformance/behaviour/node-load.test.ts",
  "conformance/wire/node.test.ts",
  "docs-tests/code-blocks.test.ts",
  "docs-tests/three-runtimes.test.ts",
  "conformance/nats/nodes-under-load.test.ts",
  "chaos/chaos.test.ts",
  "conformance/nats/websocket.test.ts",
].map(source);

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.indexOf(moduleId);
      return at < 0 ? LONGEST.length : at;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  resolve: {
    // Tests run against the sources, so nothing has to be built first. Longer names stand first: they win.
    alias: [
      { find: "@netconduit/core/adapter", replacement: source("packages/core/src/adapter.ts") },
      { find: "@netconduit/core/testing", replacement: source("packages/core/src/testing.ts") },
      { find: "@netconduit/core", replacement: source("packages/core/src/index.ts") },
      { find: "@netconduit/nats", replacement: source("packages/nats/src/index.ts") },
      { find: "@netconduit/node", replacement: source("packages/node/src/index.ts") },
    ],
  },
  test: {
    // Property tests take seconds, and machines are busy: no test is to fail for its time alone.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // By default one core is left free, which on two cores means one file at a time; most files wait for their programs.
    maxWorkers: Math.max(2, availableParallelism()),
    sequence: { sequencer: LongestFirst },
    // Programs that tests start run from the sources; compiled code that is kept halves the time they take.
    env: { NODE_COMPILE_CACHE: source("node_modules/.cache/node-compile") },
    projects: [
      // Unit tests share a process: starting one and loading the library again takes longer than most of their files.
      {
        extends: true,
        test: { name: "unit", include: ["packages/*/src/**/*.test.ts"], exclude: UNCOVERED, isolate: false },
      },
      { extends: true, test: { name: "conformance", include: [COVERED_SUITES] } },
      { extends: true, test: { name: "light", include: LIGHT, isolate: false } },
      // Without coverage: under it, programs would start without compiled code, and what works much takes three times as long.
      {
        extends: true,
        test: {
          name: "programs",
          include: [
            "{attacks,bench,chaos,conformance,docs-tests,examples,fuzz,interop,scripts}/**/*.test.ts",
            ...UNCOVERED,
          ],
          exclude: ["**/node_modules/**", COVERED_SUITES, ...LIGHT],
        },
      },
    ],
    coverage: {
      provider: "v8",
      include: ["packages/core/src/**/*.ts"],
      exclude: ["**/*.test.ts", "**/*.test-d.ts", "**/*.d.ts", "**/test-support/**"],
      reporter: ["text-summary", "json-summary", "html"],
      ...(MINIMUM_BRANCH_COVERAGE === null ? {} : { thresholds: { branches: MINIMUM_BRANCH_COVERAGE } }),
    },
  },
});
