import { expect, test } from "vitest";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { diskFiles, temporaryFolder } from "../../test-support/file-scene.ts";
import { testServer } from "../../test-support/peers.ts";

/** A server that can serve a folder. */
async function scene() {
  const runtime = Object.assign(fakeRuntime(), { files: diskFiles });
  const { server } = await testServer(runtime);
  return { server, dir: await temporaryFolder() };
}

test("a folder's name is served once at a time", async () => {
  const { server, dir } = await scene();
  const end = server.files("box", { dir, download: true });
  const again = (): unknown => server.files("box", { dir, download: true });
  expect(again).toThrow(
    expect.objectContaining({ codeName: "INVALID_STATE", message: expect.stringContaining("already served") }),
  );
  end();
  again();
});

test("one folder at a time has the option netconduit", async () => {
  const { server, dir } = await scene();
  const end = server.files("box", { dir, upload: true, netconduit: true });
  const other = (): unknown => server.files("other", { dir, upload: true, netconduit: true });
  expect(other).toThrow(
    expect.objectContaining({ codeName: "INVALID_STATE", message: expect.stringContaining("only one can") }),
  );
  end();
  other();
});
