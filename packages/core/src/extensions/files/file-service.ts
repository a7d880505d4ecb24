import { ConduitError, ErrorCode, RpcError } from "../../errors.ts";
import type { FolderContract } from "../../rpc/contract.ts";
import { didYouMean } from "../../rpc/nearest-name.ts";
import { builtInMethod, type MethodEntry, type Registry } from "../../rpc/registry.ts";
import { describeValue } from "../../text/describe-value.ts";
import { FileMethod } from "../../wire/called-as.ts";
import { type FolderOptions, parseFolderOptions } from "./folder-options.ts";
import { NetconduitTransfers } from "./netconduit-transfers.ts";
import { type FolderContext, type FolderHost, ServedFolder } from "./served-folder.ts";

type Params = Readonly<Record<string, unknown>>;

/** The folders served by one endpoint. Its methods are registered with the first folder. */
export class FileService<Peer> {
  readonly #registry: Registry<Peer>;
  readonly #host: FolderHost<Peer>;
  readonly #folders = new Map<string, ServedFolder<Peer>>();
  /** The folder for netconduit peers. */
  #netconduitFolder: ServedFolder<Peer> | null = null;
  #servesNetconduit = false;
  /** Uploads in progress. */
  readonly #receiving = new Set<Promise<unknown>>();

  constructor(registry: Registry<Peer>, host: FolderHost<Peer>) {
    this.#registry = registry;
    this.#host = host;
    const call = (params: Params, peer: Peer): ServedFolder<Peer> => this.#folder(params, peer);
    this.#add(FileMethod.OFFSET, "Where an upload continues", (params, context) =>
      call(params, context.client).offset(params, context),
    );
    this.#add(
      FileMethod.UPLOAD,
      "Receives a file",
      (params, context) => this.#receive(call(params, context.client).upload(params, context)),
      "input",
    );
    this.#add(
      FileMethod.DOWNLOAD,
      "Sends a file",
      (params, context) => call(params, context.client).download(params, context),
      "output",
    );
    this.#add(
      FileMethod.LIST,
      "Files of a folder",
      (params, context) => call(params, context.client).list(params, context),
      "output",
    );
    this.#add(FileMethod.STAT, "Size of a file", (params, context) =>
      call(params, context.client).stat(params, context),
    );
    this.#add(FileMethod.REMOVE, "Removes a file", (params, context) =>
      call(params, context.client).remove(params, context),
    );
  }

  /**
   * @param isRunning whether peers may already be connected; otherwise `begin` must follow
   * @returns a function that stops serving the folder; running transfers continue
   * @throws ConduitError INVALID_CONFIG, INVALID_STATE if the name is taken
   */
  serve(
    name: string,
    options: FolderOptions<Peer>,
    agreed: FolderContract | undefined,
    isRunning: boolean,
  ): () => void {
    const config = parseFolderOptions(name, options, agreed?.roles);
    const folder = new ServedFolder(name, config, this.#host);
    if (this.#folders.has(name)) {
      throw new ConduitError(
        ErrorCode.INVALID_STATE,
        `The folder ${describeValue(name)} is already served: first call what files() returned`,
      );
    }
    if (config.netconduit) this.#serveNetconduit(folder);
    this.#folders.set(name, folder);
    if (isRunning) folder.begin();
    return () => {
      folder.end();
      if (this.#folders.get(name) === folder) this.#folders.delete(name);
      if (this.#netconduitFolder === folder) this.#netconduitFolder = null;
    };
  }

  /** Rejects with INVALID_CONFIG if a served folder doesn't exist. */
  async mustExist(): Promise<void> {
    for (const folder of this.#folders.values()) await folder.mustExist();
  }

  /** Peers may connect. */
  begin(): void {
    for (const folder of this.#folders.values()) folder.begin();
  }

  /** Resolves when no upload is in progress. Uploads of ended connections save their data and close their files. */
  async received(): Promise<void> {
    while (this.#receiving.size > 0) await Promise.allSettled(this.#receiving);
  }

  #receive<T>(upload: Promise<T>): Promise<T> {
    this.#receiving.add(upload);
    return upload.finally(() => this.#receiving.delete(upload));
  }

  /** Cancels all timers when no more peers can connect. */
  end(): void {
    for (const folder of this.#folders.values()) folder.end();
  }

  /** @throws ConduitError INVALID_STATE */
  #serveNetconduit(folder: ServedFolder<Peer>): void {
    if (this.#netconduitFolder !== null) {
      throw new ConduitError(ErrorCode.INVALID_STATE, "Another folder has the option netconduit, and only one can");
    }
    this.#netconduitFolder = folder;
    if (this.#servesNetconduit) return;
    this.#servesNetconduit = true;
    const { transfers } = this.#host;
    const netconduit = new NetconduitTransfers<Peer>({
      folder: () => {
        if (this.#netconduitFolder !== null) return this.#netconduitFolder;
        throw new RpcError(
          ErrorCode.NOT_FOUND,
          "There is no folder for netconduit peers: one needs the option netconduit of files(name, options)",
        );
      },
      now: () => transfers.now(),
      randomHex: () => transfers.randomHex(),
    });
    for (const [name, handler] of netconduit.calls) {
      const entry = builtInMethod<Peer>(name, "Files", (params, { client }) => handler(params, client));
      this.#registry.addBuiltIn(entry, true);
    }
    for (const [type, handler] of netconduit.messages) {
      this.#registry.addNetconduitHandler({
        type,
        data: null,
        takesPeer: true,
        handler: (client, data) => handler(data, client),
      });
    }
  }

  /** @throws RpcError NOT_FOUND, PERMISSION_DENIED */
  #folder(params: Params, peer: Peer): ServedFolder<Peer> {
    const name = params["folder"];
    const folder = typeof name === "string" ? this.#folders.get(name) : undefined;
    if (folder !== undefined) {
      this.#host.access.mustHave(peer, folder.access, "files", folder.name);
      return folder;
    }
    const hint = typeof name === "string" ? didYouMean(name, this.#folders.keys()) : "";
    throw new RpcError(ErrorCode.NOT_FOUND, `There is no folder ${describeValue(name)} for files${hint}`);
  }

  #add(
    name: string,
    description: string,
    handler: (params: Params, context: FolderContext<Peer>) => unknown,
    stream?: "input" | "output",
  ): void {
    const items = { check: null };
    const entry = builtInMethod<Peer>(name, description, handler as unknown as MethodEntry<Peer>["handler"]);
    this.#registry.addBuiltIn(stream === undefined ? entry : { ...entry, [stream]: items }, false);
  }
}
