import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { libraryPackages } from "./lib/packages.ts";
import { inDependencyOrder, publishToNpm, releaseProblems } from "./lib/publish.ts";

/** The body of npm's publish request. */
interface Publication {
  readonly name: string;
  readonly access: string;
  readonly versions: Readonly<Record<string, Manifest>>;
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly repository?: unknown;
}

const { version } = libraryPackages()[0]!.manifest;

describe("publishing to npm", () => {
  const published: Publication[] = [];
  let work: string;
  let registry: Server;

  beforeAll(async () => {
    registry = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const name = decodeURIComponent((request.url ?? "").slice(1).replace(/\?.*$/, ""));
      const known = published.find((publication) => publication.name === name);
      response.setHeader("Content-Type", "application/json");
      if (request.method === "PUT") {
        published.push(JSON.parse(Buffer.concat(chunks).toString()) as Publication);
        response.writeHead(201).end("{}");
      } else if (known !== undefined) {
        response.end(JSON.stringify({ name, "dist-tags": { latest: version }, versions: known.versions }));
      } else {
        response.writeHead(404).end('{"error":"Not found"}');
      }
    });
    await new Promise<void>((resolve) => registry.listen(0, "127.0.0.1", resolve));

    work = mkdtempSync(join(tmpdir(), "netconduit-publish-"));
    const host = `//127.0.0.1:${(registry.address() as AddressInfo).port}/`;
    writeFileSync(join(work, "npmrc"), `@netconduit:registry=http:${host}\n${host}:_authToken=only-for-this-test\n`);
    vi.stubEnv("npm_config_userconfig", join(work, "npmrc"));
    vi.stubEnv("npm_config_cache", join(work, "cache"));
  });

  afterAll(async () => {
    vi.unstubAllEnvs();
    registry.closeAllConnections();
    await new Promise((resolve) => registry.close(resolve));
    rmSync(work, { recursive: true, force: true });
  });

  test("publishes the core first, and each package once, with its repository", { timeout: 180_000 }, async () => {
    const github = { GITHUB_SERVER_URL: "https://git.example", GITHUB_REPOSITORY: "somebody/netconduit" };
    const lines: string[] = [];
    await publishToNpm(work, github, (line) => lines.push(line));

    const names = ["@netconduit/core", "@netconduit/bun", "@netconduit/deno", "@netconduit/nats", "@netconduit/node"];
    expect(lines).toEqual(names.map((name) => `${name}@${version}: published`));
    expect(published.map(({ name }) => name)).toEqual(names);
    expect(new Set(published.map(({ access }) => access))).toEqual(new Set(["public"]));
    const node = published.at(-1)!.versions[version]!;
    expect(node.dependencies).toEqual({ "@netconduit/core": version });
    expect(node.repository).toEqual({
      type: "git",
      url: "git+https://git.example/somebody/netconduit.git",
      directory: "packages/node",
    });

    lines.length = 0;
    await publishToNpm(work, github, (line) => lines.push(line));
    expect(lines).toEqual(names.map((name) => `${name}@${version}: npm has it already`));
    expect(published).toHaveLength(names.length);
  });
});

describe("before a release", () => {
  const changelog = "# Changelog\n\n## Unreleased\n\n## 1.2.3 – 2026-01-01\n";

  test("a version in the changelog may be released, from its tag or a branch", () => {
    expect(releaseProblems("1.2.3", changelog, {})).toEqual([]);
    expect(releaseProblems("1.2.3", changelog, { GITHUB_REF_TYPE: "tag", GITHUB_REF_NAME: "v1.2.3" })).toEqual([]);
  });

  test("a version missing from the changelog is rejected", () => {
    expect(releaseProblems("1.2.4", changelog, {})).toEqual([expect.stringContaining("has no section 1.2.4")]);
  });

  test("a tag of another version is rejected", () => {
    expect(releaseProblems("1.2.3", changelog, { GITHUB_REF_TYPE: "tag", GITHUB_REF_NAME: "v1.2.4" })).toEqual([
      "the tag is v1.2.4, and the packages' version 1.2.3",
    ]);
  });
});

test("a package comes after its dependencies", () => {
  const library = (name: string, ...dependencies: string[]) => ({
    directory: name,
    manifest: { name, version: "1.0.0", dependencies: Object.fromEntries(dependencies.map((other) => [other, "*"])) },
  });
  const ordered = inDependencyOrder([library("a", "b"), library("b", "c"), library("c", "elsewhere")]);
  expect(ordered.map(({ manifest }) => manifest.name)).toEqual(["c", "b", "a"]);
});
