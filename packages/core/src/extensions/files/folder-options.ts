import { ConduitError, ErrorCode } from "../../errors.ts";
import { type Access, accessOf } from "../../rpc/access.ts";
import { describeValue } from "../../text/describe-value.ts";
import { KnownOptions } from "../../util/known-options.ts";
import { isOverwritePolicy, type OverwritePolicy, POLICY_RULE } from "./overwrite-policy.ts";

/** An operation of a peer in a folder. */
export interface FileRequest {
  readonly action: "upload" | "download" | "list" | "stat" | "remove";
  /** The folder's name, as in `files(name, …)`. */
  readonly folder: string;
  /** Null for `list`. */
  readonly name: string | null;
}

/** Options of a folder that peers may use. */
export interface FolderOptions<Peer = unknown> {
  /** Path of the folder, which must exist. Only regular files directly in it are served. */
  readonly dir: string;
  /** Whether peers may send files. Default false. */
  readonly upload?: boolean | undefined;
  /** Whether peers may fetch files, list them and ask for their size. Default false. */
  readonly download?: boolean | undefined;
  /** Whether peers may remove files. Default false. */
  readonly remove?: boolean | undefined;
  /** Largest file that is taken, in bytes. Default: no limit. */
  readonly maxFileBytes?: number | undefined;
  /**
   * Bytes that all files in the folder may have together, unfinished ones included. A file counts as 4,096 at least, so this
   * bounds their number, too. Default: no limit.
   */
  readonly quotaBytes?: number | undefined;
  /**
   * If an uploaded file's name is taken: `fail` refuses it, `replace` replaces the file, `rename` puts a number behind
   * the new one's name. Default `fail`.
   */
  readonly overwrite?: OverwritePolicy | undefined;
  /** Milliseconds after which an unfinished file that nobody continues is removed. Default: 24 hours. */
  readonly expireMs?: number | undefined;
  /**
   * Whether peers of netconduit's Python package use this folder: they name none. One folder at most. Default false.
   */
  readonly netconduit?: boolean | undefined;
  /** Peers whose user has one of these roles may use the folder; the others are refused with PERMISSION_DENIED. Default: all. */
  readonly roles?: readonly string[] | undefined;
  /** Judges each request. False refuses it with PERMISSION_DENIED, an `RpcError` that it throws with its code. */
  readonly authorize?: ((peer: Peer, request: FileRequest) => boolean | PromiseLike<boolean>) | undefined;
}

const BOOLEANS = ["upload", "download", "remove", "netconduit"] as const;
const SIZES = ["maxFileBytes", "quotaBytes", "expireMs"] as const;
const KNOWN = new KnownOptions<FolderOptions>("files", {
  dir: true,
  upload: true,
  download: true,
  remove: true,
  maxFileBytes: true,
  quotaBytes: true,
  overwrite: true,
  expireMs: true,
  netconduit: true,
  roles: true,
  authorize: true,
});
const DAY_MS: number = 24 * 60 * 60 * 1000;

/** The same with defaults. */
export interface FolderConfig<Peer> {
  readonly dir: string;
  readonly upload: boolean;
  readonly download: boolean;
  readonly remove: boolean;
  readonly netconduit: boolean;
  readonly maxFileBytes: number;
  readonly quotaBytes: number;
  readonly overwrite: OverwritePolicy;
  readonly expireMs: number;
  readonly authorize: FolderOptions<Peer>["authorize"];
  /** Null for everybody. */
  readonly access: Access | null;
}

/**
 * @param agreedRoles the roles that the contract requires
 * @throws ConduitError INVALID_CONFIG
 */
export function parseFolderOptions<Peer>(
  name: unknown,
  options: FolderOptions<Peer>,
  agreedRoles?: readonly string[],
): FolderConfig<Peer> {
  if (typeof name !== "string" || name === "") throw invalid("name", "must be a non-empty string", name);
  if (typeof options !== "object" || options === null) throw invalid("options", "must be an object", options);
  KNOWN.check(options, name);
  const { dir, overwrite = "fail", authorize } = options;
  if (typeof dir !== "string" || dir === "" || dir.includes("\0")) throw invalid("dir", "must be a path", dir);
  for (const key of BOOLEANS) {
    const value = options[key];
    if (value !== undefined && typeof value !== "boolean") throw invalid(key, "must be a boolean", value);
  }
  for (const key of SIZES) {
    const value = options[key];
    const isValid =
      value === undefined || value === Number.POSITIVE_INFINITY || (Number.isSafeInteger(value) && value > 0);
    if (!isValid) throw invalid(key, "must be a positive integer", value);
  }
  if (!isOverwritePolicy(overwrite)) throw invalid("overwrite", POLICY_RULE, overwrite);
  if (authorize !== undefined && typeof authorize !== "function") {
    throw invalid("authorize", "must be a function", authorize);
  }
  return {
    access: accessOf(name, options.roles, agreedRoles),
    dir,
    overwrite,
    authorize,
    upload: options.upload ?? false,
    download: options.download ?? false,
    remove: options.remove ?? false,
    netconduit: options.netconduit ?? false,
    maxFileBytes: options.maxFileBytes ?? Number.POSITIVE_INFINITY,
    quotaBytes: options.quotaBytes ?? Number.POSITIVE_INFINITY,
    expireMs: options.expireMs ?? DAY_MS,
  };
}

function invalid(option: string, rule: string, value: unknown): ConduitError {
  const message = `Invalid option ${option} of files: ${rule}, got ${describeValue(value)}`;
  return new ConduitError(ErrorCode.INVALID_CONFIG, message);
}
