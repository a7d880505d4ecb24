import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { LibraryPackage } from "./packages.ts";
import { pnpm } from "./run.ts";

/**
 * Packs a package as for a release, into its own folder below `destination`, and returns the tarball's path. The
 * package must be built.
 * @throws Error naming the package if it isn't built, or if packing fails
 */
export async function pack({ directory, manifest }: LibraryPackage, destination: string): Promise<string> {
  if (!existsSync(join(directory, "dist"))) throw new Error(`${manifest.name} has no dist/: run "pnpm build" first`);
  const target = join(destination, manifest.name.replace("/", "-"));
  mkdirSync(target, { recursive: true });
  const { code, output } = await pnpm(["pack", "--pack-destination", target], { cwd: directory });
  const tarball = code === 0 ? readdirSync(target).find((file) => file.endsWith(".tgz")) : undefined;
  if (tarball === undefined) throw new Error(`${manifest.name}: pnpm pack failed\n${output}`);
  return join(target, tarball);
}
