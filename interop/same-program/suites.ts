import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { ServerScene } from "../netconduit-server/scene.ts";
import { PASSWORD } from "../password.ts";
import { describeWithDriver, type InteropSubject } from "../scene.ts";
import { withShop } from "./handlers.ts";

const PROGRAM: string = fileURLToPath(new URL("../python/program.py", import.meta.url));
const IDENTITY = { name: "shop", version: "2.1.0" } as const;

/** One client program of netconduit, run against a server in Python and against ours with the same handlers. */
export function describeSameProgram(subject: InteropSubject, python: string, on: string): void {
  const run = async (port: number): Promise<string[]> => {
    const env = { ...process.env, PYTHONUTF8: "1", PYTHONDONTWRITEBYTECODE: "1" };
    const { stdout } = await promisify(execFile)(python, [PROGRAM, String(port), PASSWORD], { env });
    return stdout.split(/\r?\n/);
  };

  describeWithDriver(
    `a netconduit client program ${on}`,
    python,
    "server_driver.py",
    (driver) => new ServerScene(subject, driver),
    [
      (staged) =>
        test(
          "prints the same with netconduit's server and with ours",
          staged(async (scene) => {
            const { port } = await scene.listen(IDENTITY, "shop");
            const ours = new subject.Server({
              ...IDENTITY,
              host: "127.0.0.1",
              port: 0,
              password: PASSWORD,
              allowPasswordHash: true,
            });
            ours.onError(() => undefined);
            withShop(ours);
            await ours.start();
            scene.defer(() => ours.stop({ drainMs: 0 }));
            const expected = await run(port);
            expect(expected.length).toBeGreaterThan(60);
            expect(await run(ours.address.port)).toEqual(expected);
          }),
        ),
    ],
  );
}
