import type {
  Client,
  ClientInit,
  ClientPool,
  Contract,
  FileStore,
  FileStoreOptions,
  PoolInit,
  Server,
  ServerInit,
  UsersFileLookup,
} from "@netconduit/core";
import type { Runtime } from "@netconduit/core/adapter";

/** A runtime package under test by the behaviour suites. */
export interface Subject {
  /** Used in test titles. */
  readonly name: string;
  readonly Server: new <C extends Contract = Contract, D extends object = Record<string, unknown>>(
    options: ServerInit<C, D>,
  ) => Server<C, D>;
  readonly Client: new <C extends Contract = Contract>(options: ClientInit<C>) => Client<C>;
  readonly ClientPool: new <C extends Contract = Contract>(options: PoolInit<C>) => ClientPool<C>;
  fileStore(path: string, options?: FileStoreOptions): Promise<FileStore>;
  usersFile(path: string): Promise<UsersFileLookup>;
  /** The runtime of `Server`, `Client` and `ClientPool`. Tests that control time wrap it in a `SteppedClock`. */
  readonly runtime: Runtime;
  readonly capabilities: Capabilities;
}

/** Differences between runtimes. */
export interface Capabilities {
  /** The peer sees a destroyed connection as a reset; without this it may see a normal end. */
  readonly destroyResets: boolean;
}

/** A server without a contract. */
export type OpenServer = Server<Contract, Record<string, unknown>>;
/** A client without a contract. */
export type OpenClient = Client<Contract>;
