import { afterAll, beforeAll, describe } from "vitest";
import { PythonDriver } from "../python-driver.ts";
import { type InteropSubject, PATIENCE_MS, staged } from "../scene.ts";
import { describeClosing } from "./closing.suite.ts";
import { describeLogin } from "./login.suite.ts";
import { describeMessages } from "./messages.suite.ts";
import { describeRpc } from "./rpc.suite.ts";
import { ClientScene } from "./scene.ts";
import { describeValues } from "./values.suite.ts";

/** All tests share one driver and run one after the other. */
export function describeNetconduitClient(subject: InteropSubject, python: string, on: string): void {
  describe(`netconduit's client on our server ${on}`, () => {
    let driver: PythonDriver;

    beforeAll(async () => {
      driver = await PythonDriver.start(python, "client_driver.py");
    }, PATIENCE_MS);
    afterAll(() => driver?.kill(), PATIENCE_MS);

    const inScene = staged(() => new ClientScene(subject, driver));
    describeLogin(inScene);
    describeMessages(inScene);
    describeRpc(inScene);
    describeValues(inScene);
    describeClosing(inScene);
  });
}
