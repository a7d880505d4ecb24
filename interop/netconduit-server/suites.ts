import { afterAll, beforeAll, describe } from "vitest";
import { PythonDriver } from "../python-driver.ts";
import { type InteropSubject, PATIENCE_MS, staged } from "../scene.ts";
import { describeClosing } from "./closing.suite.ts";
import { describeLogin } from "./login.suite.ts";
import { describeMessages } from "./messages.suite.ts";
import { describeRpc } from "./rpc.suite.ts";
import { ServerScene } from "./scene.ts";
import { describeValues } from "./values.suite.ts";

/** All tests share one driver and run one after the other. */
export function describeNetconduitServer(subject: InteropSubject, python: string, on: string): void {
  describe(`our client on netconduit's server ${on}`, () => {
    let driver: PythonDriver;

    beforeAll(async () => {
      driver = await PythonDriver.start(python, "server_driver.py");
    }, PATIENCE_MS);
    afterAll(() => driver?.kill(), PATIENCE_MS);

    const inScene = staged(() => new ServerScene(subject, driver));
    describeLogin(inScene);
    describeMessages(inScene);
    describeRpc(inScene);
    describeValues(inScene);
    describeClosing(inScene);
  });
}
