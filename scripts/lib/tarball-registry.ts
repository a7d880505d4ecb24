import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename } from "node:path";
import { run } from "./run.ts";

/** A local npm registry that serves only the given packages. */
export interface TarballRegistry extends AsyncDisposable {
  /** Its URL, with a trailing slash. Unique for each registry, so that caches don't mix them up. */
  readonly url: string;
}

interface Entry {
  readonly bytes: Buffer;
  readonly manifest: { readonly name: string; readonly version: string };
}

/** Reads package.json from a tarball, as a registry does on publishing. */
async function readEntry(tarball: string): Promise<Entry> {
  const { code, output } = await run("tar", ["-xzOf", tarball, "package/package.json"]);
  if (code !== 0) throw new Error(`${tarball} can't be read\n${output}`);
  return { bytes: readFileSync(tarball), manifest: JSON.parse(output) as Entry["manifest"] };
}

/** Registry metadata of a package with one version. */
function packument({ bytes, manifest }: Entry, tarball: string): string {
  const { name, version } = manifest;
  // An old date, for package managers with a minimum release age.
  const published = "2020-01-01T00:00:00.000Z";
  const dist = { tarball, integrity: `sha512-${createHash("sha512").update(bytes).digest("base64")}` };
  return JSON.stringify({
    name,
    "dist-tags": { latest: version },
    time: { created: published, modified: published, [version]: published },
    versions: { [version]: { ...manifest, _id: `${name}@${version}`, dist } },
  });
}

/** Serves packed packages on 127.0.0.1 as an npm registry. */
export async function serveTarballs(tarballs: readonly string[]): Promise<TarballRegistry> {
  const root = `/${randomUUID()}/`;
  const entries = new Map<string, Entry>();
  const files = new Map<string, { readonly file: string; readonly bytes: Buffer }>();
  for (const tarball of tarballs) {
    const entry = await readEntry(tarball);
    entries.set(`${root}${entry.manifest.name}`, entry);
    files.set(`${root}-/${basename(tarball)}`, { file: basename(tarball), bytes: entry.bytes });
  }

  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://registry").pathname);
    response.setHeader("Cache-Control", "no-store");
    const file = files.get(path);
    if (file !== undefined) {
      response.writeHead(200, { "Content-Type": "application/octet-stream" }).end(file.bytes);
      return;
    }
    const entry = entries.get(path);
    if (entry !== undefined) {
      const name = entry.manifest.name.replace("@", "").replace("/", "-");
      const tarball = `${url}-/${name}-${entry.manifest.version}.tgz`;
      response.writeHead(200, { "Content-Type": "application/json" }).end(packument(entry, tarball));
      return;
    }
    response.writeHead(404, { "Content-Type": "application/json" }).end('{"error":"not found"}');
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${root}`;

  return {
    url,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
