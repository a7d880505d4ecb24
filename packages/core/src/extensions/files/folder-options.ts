import { ConduitError, ErrorCode } from "../../errors.ts";
import { type Access, accessOf } from "../../rpc/access.ts";
import { describeValue } from "../../text/describe-value.ts";
import { KnownOptions } from "../../util/known-options.ts";
import { isOverwritePolicy, type OverwritePolicy, POLICY_RULE } from "./overwrite-policy.ts";

/** A peer's operation in a folder. */
export interface FileRequest {
  readonly action: "upload" | "download" | "list" | "stat" | "remove";
  /** The folder's name, as in `files(name, …)`. */
  readonly folder: string;
  /** Null for `list`. */
  readonly name: string | null;
}

/** Options of a served folder. */
export interface FolderOptions<Peer = unknown> {
  /** Path of the folder, which must exist. Only regular files directly in it are served. */
  readonly dir: string;
  /** Whether peers may upload files. Default false. */
  readonly upload?: boolean | undefined;
  /** Whether peers may download and list files, and query their size. Default false. */
  readonly download?: boolean | undefined;
  /** Whether peers may remove files. Default false. */
  readonly remove?: boolean | undefined;
  /** Maximum size of an uploaded file in bytes. Default: no limit. */
  readonly maxFileBytes?: number | undefined;
  /**
   * Maximum total bytes of all files in the folder, including unfinished ones. A file counts as at least 4,096, so
   * this also bounds their number. Default: no limit.
   */
  readonly quotaBytes?: number | undefined;
  /**
   * How an upload handles a name that is taken: `fail` rejects the upload, `replace` replaces the file,
   * `rename` adds a number to the new file's name. Default `fail`.
   */
  readonly overwrite?: OverwritePolicy | undefined;
  /** Milliseconds after which an abandoned unfinished file is removed. Default: 24 hours. */
  readonly expireMs?: number | undefined;
  /**
   * Whether Python netconduit peers use this folder, because they don't name one. At most one folder. Default false.
   */
  readonly netconduit?: boolean | undefined;
  /** Roles of which a peer's user needs one to use the folder; others get PERMISSION_DENIED. Default: all. */
  readonly roles?: readonly string[] | undefined;
  /** Authorizes each request. False rejects it with PERMISSION_DENIED, a thrown `RpcError` with its own code. */
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

/** Options with defaults filled in. */
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
  /** Null for all. */
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
