/**
 * A store in a SQLite file, using the runtime's SQLite module.
 *
 * Theory of operation. All operations of one event loop turn form one transaction, which runs at the end of the turn,
 * because a commit costs far more than the operations in it. If it fails, all its writes are rejected and its reads
 * are repeated. The file is locked so that no second process can open it. The system releases the lock when the
 * process ends, and also when the process closes any other descriptor of the file, so nothing else here opens an
 * existing file.
 *
 * The store has its own clock, which is saved in the file and runs while it is open. The system clock may be
 * adjusted, or wrong at startup, which could expire all values at once, and the calls that they protect would run
 * again.
 */

import { asError, ConduitError, ErrorCode } from "../errors.ts";
import { describeValue } from "../text/describe-value.ts";
import { KnownOptions } from "../util/known-options.ts";
import type { Store } from "./store.ts";

/** The values of one row. */
export type SqliteRow = Readonly<Record<string, unknown>>;

/** A prepared statement of `node:sqlite` or `bun:sqlite`. */
export interface SqliteStatement {
  run(...values: (string | number | Uint8Array)[]): unknown;
  /** Undefined or null if there is no row. */
  get(...values: (string | number | Uint8Array)[]): unknown;
  all(...values: (string | number | Uint8Array)[]): unknown[];
  /** Needed on Bun, which keeps the file locked until every statement is finalized. */
  finalize?(): void;
}

/** The part of `DatabaseSync` (`node:sqlite`) and `Database` (`bun:sqlite`) that the store needs. */
export interface SqliteDatabase {
  exec(sql: string): unknown;
  prepare(sql: string): SqliteStatement;
  close(): unknown;
}

/** Options of a store in a file. */
export interface FileStoreOptions {
  /**
   * When to flush to disk. In both modes, stored values survive the end of the process, including `kill -9`.
   * `checkpoint`: periodically; a power failure or system crash may lose the most recent values, but leaves a valid
   * file. `commit`: before a write resolves, so that a power failure loses nothing if the disk honours flushes.
   * Default `"checkpoint"`.
   */
  readonly fsync?: "commit" | "checkpoint" | undefined;
  /**
   * Maximum size of the file; a value that would exceed it is rejected with STORE_FULL. At least 1 MiB. Default 1
   * GiB.
   */
  readonly maxBytes?: number | undefined;
}

/** A store in a file, which only one process can use at a time. */
export interface FileStore extends Store {
  /** Closes the file after all pending operations. Stop the servers that use it first. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The runtime functions that the store needs. */
export interface SqliteHost {
  /** Creates the file if it doesn't exist. */
  prepare(): Promise<unknown>;
  open(): SqliteDatabase;
  nextTurn(task: () => void): void;
  /** Monotonic milliseconds. */
  now(): number;
}

const KNOWN = new KnownOptions<FileStoreOptions>("fileStore", { fsync: true, maxBytes: true });
const MIN_FILE_BYTES: number = 1024 * 1024;
const DEFAULT_FILE_BYTES: number = 1024 * 1024 * 1024;
const PAGE_BYTES = 4096;
/** Marks the file as ours: "ncst". */
const APPLICATION_ID = 0x6e637374;
const SWEEP_MS = 10_000;
const ROWS_PER_SWEEP = 1000;
/**
 * The store's time is saved with the first write after this interval. Time that isn't saved makes values live longer.
 */
const CLOCK_MS = 1000;

const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
const SQLITE_FULL = 13;

interface Operation {
  readonly writes: boolean;
  /** Runs the statement. Its result is final once the transaction is committed. */
  run(): unknown;
  resolve(result: unknown): void;
  reject(error: ConduitError): void;
}

/**
 * Opens a store in a file, creating it if it doesn't exist.
 * @throws ConduitError INVALID_CONFIG, STORE_FAILED, STORE_IN_USE (already open in this or another process)
 */
export async function openSqliteStore(
  host: SqliteHost,
  path: string,
  options: FileStoreOptions = {},
): Promise<FileStore> {
  KNOWN.check(options, path);
  const { fsync = "checkpoint", maxBytes = DEFAULT_FILE_BYTES } = options;
  if (typeof path !== "string" || path === "") {
    const message = `A store needs the path of its file, got ${describeValue(path)}: await fileStore("netconduit.db")`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  if (fsync !== "checkpoint" && fsync !== "commit") {
    const message = `Invalid option fsync of fileStore: must be "commit" or "checkpoint", got ${describeValue(fsync)}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  if (!Number.isSafeInteger(maxBytes) || maxBytes < MIN_FILE_BYTES) {
    const message = `Invalid option maxBytes of fileStore: must be a whole number of at least ${MIN_FILE_BYTES}, got ${describeValue(maxBytes)}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  let database: SqliteDatabase | null = null;
  try {
    await host.prepare();
    database = host.open();
    prepareFile(database, fsync, maxBytes);
    return new SqliteStore(database, host, path);
  } catch (error) {
    database?.close();
    throw storeError(error, path);
  }
}

function prepareFile(database: SqliteDatabase, fsync: "commit" | "checkpoint", maxBytes: number): void {
  database.exec(`PRAGMA page_size = ${PAGE_BYTES}`);
  database.exec("PRAGMA locking_mode = EXCLUSIVE");
  // Reads with a statement first: on Deno, errors of `exec` don't tell that the file is locked.
  const { application_id } = readRow(database, "PRAGMA application_id");
  database.exec("PRAGMA journal_mode = WAL");
  database.exec(`PRAGMA synchronous = ${fsync === "commit" ? "FULL" : "NORMAL"}`);
  database.exec(`PRAGMA max_page_count = ${Math.floor(maxBytes / PAGE_BYTES)}`);
  const { tables } = readRow(database, "SELECT count(*) AS tables FROM sqlite_master");
  if (tables !== 0 && application_id !== APPLICATION_ID) throw new Error("the file is another program's database");
  // Takes the lock even if there is nothing to write.
  database.exec("BEGIN IMMEDIATE");
  database.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
  database.exec(
    "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value BLOB NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID",
  );
  database.exec("CREATE INDEX IF NOT EXISTS kept_until ON kept (until)");
  database.exec("CREATE TABLE IF NOT EXISTS clock (id INTEGER PRIMARY KEY, ms INTEGER NOT NULL)");
  database.exec("INSERT OR IGNORE INTO clock VALUES (1, 0)");
  database.exec("COMMIT");
}

function readRow(database: SqliteDatabase, sql: string): SqliteRow {
  const statement = database.prepare(sql);
  const row = statement.get() as SqliteRow;
  statement.finalize?.();
  return row;
}

class SqliteStore implements FileStore {
  readonly isShared: boolean = false;
  readonly #database: SqliteDatabase;
  readonly #host: SqliteHost;
  readonly #path: string;
  readonly #get: SqliteStatement;
  readonly #create: SqliteStatement;
  readonly #put: SqliteStatement;
  readonly #delete: SqliteStatement;
  readonly #keys: SqliteStatement;
  readonly #sweep: SqliteStatement;
  readonly #setClock: SqliteStatement;
  /** The store's time at the host's time 0. */
  readonly #startMs: number;
  #keptMs: number;
  #waiting: Operation[] = [];
  /** The store's time. */
  #sweepDueMs = 0;
  /** Whether more expired values are to be removed in the next turn. */
  #isSweeping = false;
  #isClosed = false;

  constructor(database: SqliteDatabase, host: SqliteHost, path: string) {
    this.#database = database;
    this.#host = host;
    this.#path = path;
    this.#get = database.prepare("SELECT value FROM kept WHERE key = ? AND until > ?");
    // Replaces an expired value.
    this.#create = database.prepare(
      "INSERT INTO kept VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, until = excluded.until " +
        "WHERE until <= ? RETURNING key",
    );
    this.#put = database.prepare("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)");
    this.#delete = database.prepare("DELETE FROM kept WHERE key = ?");
    this.#keys = database.prepare("SELECT key FROM kept WHERE key >= ? AND key < ? AND until > ? ORDER BY key LIMIT ?");
    this.#sweep = database.prepare(
      `DELETE FROM kept WHERE key IN (SELECT key FROM kept WHERE until <= ? LIMIT ${ROWS_PER_SWEEP})`,
    );
    this.#setClock = database.prepare("UPDATE clock SET ms = ? WHERE id = 1");
    this.#keptMs = Number(readRow(database, "SELECT ms FROM clock WHERE id = 1")["ms"]);
    this.#startMs = this.#keptMs - host.now();
  }

  /** The store's time, in whole milliseconds. */
  get #nowMs(): number {
    return Math.floor(this.#startMs + this.#host.now());
  }

  get(key: string): Promise<Uint8Array | null> {
    return this.#ask(false, () => {
      const row = this.#get.get(key, this.#nowMs) as SqliteRow | null | undefined;
      return row === null || row === undefined ? null : plain(row["value"] as Uint8Array);
    });
  }

  create(key: string, value: Uint8Array, ttlMs: number): Promise<boolean> {
    return this.#ask(true, () => {
      const nowMs = this.#nowMs;
      return this.#create.all(key, value, nowMs + ttlMs, nowMs).length > 0;
    });
  }

  put(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    return this.#ask(true, () => void this.#put.run(key, value, this.#nowMs + ttlMs));
  }

  delete(key: string): Promise<void> {
    return this.#ask(true, () => void this.#delete.run(key));
  }

  keys(prefix: string, limit: number): Promise<string[]> {
    // An upper bound of all keys with the prefix, because keys are ASCII.
    const rows = (): unknown[] => this.#keys.all(prefix, `${prefix}\u007f`, this.#nowMs, limit);
    return this.#ask(false, () => rows().map((row) => (row as SqliteRow)["key"] as string));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#runWaiting();
    const statements = [this.#get, this.#create, this.#put, this.#delete, this.#keys, this.#sweep, this.#setClock];
    for (const statement of statements) statement.finalize?.();
    this.#database.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #ask<T>(writes: boolean, run: () => T): Promise<T> {
    if (this.#isClosed) return Promise.reject(new ConduitError(ErrorCode.STORE_FAILED, "The store was closed"));
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ writes, run, resolve: resolve as (result: unknown) => void, reject });
      if (this.#waiting.length === 1) this.#host.nextTurn(() => this.#runWaiting());
    });
  }

  #runWaiting(): void {
    const operations = this.#waiting;
    this.#waiting = [];
    if (operations.length === 0) return;
    if (operations.some(({ writes }) => writes)) this.#transact(operations);
    else for (const operation of operations) this.#runAlone(operation);
  }

  #transact(operations: readonly Operation[]): void {
    if (this.#nowMs >= this.#sweepDueMs) this.#removeExpired();
    let outcome = this.#runTogether(operations);
    if (!Array.isArray(outcome) && outcome.code === ErrorCode.STORE_FULL && this.#removeExpired() > 0) {
      outcome = this.#runTogether(operations);
    }
    if (Array.isArray(outcome)) {
      for (const [index, operation] of operations.entries()) operation.resolve(outcome[index]);
      return;
    }
    for (const operation of operations) {
      if (operation.writes) operation.reject(outcome);
      else this.#runAlone(operation);
    }
  }

  /** Returns the results, or the error that rolled everything back. */
  #runTogether(operations: readonly Operation[]): unknown[] | ConduitError {
    try {
      this.#database.exec("BEGIN IMMEDIATE");
      const results = operations.map((operation) => operation.run());
      const nowMs = this.#nowMs;
      const keepsTime = nowMs - this.#keptMs >= CLOCK_MS;
      if (keepsTime) this.#setClock.run(nowMs);
      this.#database.exec("COMMIT");
      if (keepsTime) this.#keptMs = nowMs;
      return results;
    } catch (error) {
      this.#rollBack();
      return storeError(error, this.#path);
    }
  }

  /** Rolls back, unless SQLite has already done so. */
  #rollBack(): void {
    try {
      this.#database.exec("ROLLBACK");
    } catch {
      // "no transaction is active"
    }
  }

  #runAlone(operation: Operation): void {
    try {
      operation.resolve(operation.run());
    } catch (error) {
      operation.reject(storeError(error, this.#path));
    }
  }

  /**
   * Removes a batch of expired values in a transaction of its own, and the rest in later turns. Returns their number.
   * On failure, it is retried before the next write, which then reports the error.
   */
  #removeExpired(): number {
    const nowMs = this.#nowMs;
    let rows = 0;
    try {
      rows = Number((this.#sweep.run(nowMs) as { readonly changes: number | bigint }).changes);
    } catch {
      return 0;
    }
    const isDone = rows < ROWS_PER_SWEEP;
    this.#sweepDueMs = isDone ? nowMs + SWEEP_MS : nowMs;
    if (!isDone && !this.#isSweeping) {
      this.#isSweeping = true;
      this.#host.nextTurn(() => {
        this.#isSweeping = false;
        if (!this.#isClosed) this.#removeExpired();
      });
    }
    return rows;
  }
}

/** Copies to a plain `Uint8Array` with its own memory. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

function storeError(thrown: unknown, path: string): ConduitError {
  if (thrown instanceof ConduitError) return thrown;
  const cause = asError(thrown);
  const { errcode, errno } = cause as { errcode?: unknown; errno?: unknown };
  // The low byte of an extended code is the primary code.
  const number = Number(errcode ?? errno) & 0xff;
  const details = { path };
  switch (number) {
    case SQLITE_FULL:
      return new ConduitError(ErrorCode.STORE_FULL, `The store ${path} is full: ${cause.message}`, { cause, details });
    case SQLITE_BUSY: {
      const message = `The store ${path} is in use by another process, or was opened twice`;
      return new ConduitError(ErrorCode.STORE_IN_USE, message, { cause, details });
    }
    case SQLITE_READONLY: {
      const message = `The store ${path} can't be written: ${cause.message}`;
      return new ConduitError(ErrorCode.STORE_FAILED, message, { cause, details });
    }
    default:
      return new ConduitError(ErrorCode.STORE_FAILED, `The store ${path} failed: ${cause.message}`, { cause, details });
  }
}
