import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { run } from "./run.ts";

/** A published version: file name → text. */
export type PublishedFiles = ReadonlyMap<string, string>;

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Reads a tar archive with short file names, as sent by `deno publish`. */
function readTar(bytes: Buffer): PublishedFiles {
  const files = new Map<string, string>();
  const field = (offset: number, length: number): string =>
    bytes.toString("utf8", offset, offset + length).replace(/\0[\s\S]*$/, "");
  for (let offset = 0; offset + 512 <= bytes.length && bytes[offset] !== 0; ) {
    const size = Number.parseInt(field(offset + 124, 12), 8);
    const path = [field(offset + 345, 155), field(offset, 100)].filter((part) => part !== "").join("/");
    files.set(path, bytes.toString("utf8", offset + 512, offset + 512 + size));
    offset += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

/**
 * Runs `deno publish` in `root` against a local fake of JSR that accepts everything, and returns the files it received
 * by package name. Throws with the output if Deno fails.
 */
export async function publishToStandIn(root: string): Promise<ReadonlyMap<string, PublishedFiles>> {
  const published = new Map<string, PublishedFiles>();
  const server = createServer(async (request, response) => {
    const body = await readBody(request);
    const [, scope, name, version] =
      /^\/api\/scopes\/([^/]+)\/packages\/([^/]+)(?:\/versions\/([^/?]+))?/.exec(request.url ?? "") ?? [];
    response.setHeader("Content-Type", "application/json");
    if (version === undefined) {
      response.end("{}"); // the package exists
    } else if (request.method === "POST") {
      published.set(`@${scope}/${name}`, readTar(gunzipSync(body)));
      response.end(JSON.stringify({ id: "00000000-0000-0000-0000-000000000000", status: "success", error: null }));
    } else {
      response.writeHead(404).end(JSON.stringify({ code: "packageVersionNotFound", message: "not published yet" }));
    }
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  try {
    const { code, output } = await run(
      "deno",
      ["publish", "--allow-dirty", "--no-check", "--no-provenance", "--token", "a-token-for-the-stand-in"],
      { cwd: root, env: { JSR_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` } },
    );
    if (code !== 0) throw new Error(`deno publish failed with ${code}\n${output}`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  return published;
}
