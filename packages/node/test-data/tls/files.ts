import { fileURLToPath } from "node:url";

/** Path of a file in this directory. */
export function testFile(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}
