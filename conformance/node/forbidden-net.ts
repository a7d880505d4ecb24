/** Listens and connects without permission to use the network. Prints the codes. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Client, type ConduitError, Server } from "@netconduit/node";

const password = "secret123";
const path = join(tmpdir(), `netconduit-forbidden-${process.pid}.sock`);
const codes: string[] = [];

async function note(step: Promise<void>): Promise<void> {
  codes.push(
    await step.then(
      () => "done",
      (error: ConduitError) => `${error.codeName}: ${error.message}`,
    ),
  );
}

for (const target of [{ host: "127.0.0.1", port: 0 }, { path }]) {
  await note(new Server({ ...target, password, handleSignals: false }).start());
}
for (const target of [{ host: "127.0.0.1", port: 9 }, { path }]) {
  await note(new Client({ ...target, password, reconnect: { enabled: false } }).connect());
}
process.stdout.write(JSON.stringify(codes));
