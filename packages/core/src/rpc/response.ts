import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { describeValue } from "../text/describe-value.ts";
import { KnownOptions } from "../util/known-options.ts";

/** Page counts of {@link Response.withPagination}; in snake_case, because netconduit's clients read these names. */
export interface Pagination {
  /** Number of items on all pages. */
  readonly total: number;
  /** Number of this page, from 1. */
  readonly page: number;
  readonly page_size: number;
  readonly total_pages: number;
  readonly has_next: boolean;
  readonly has_prev: boolean;
}

/** Result of `response(data, metadata)`. */
export interface ResponseWithMetadata<T, M> {
  readonly success: true;
  readonly data: T;
  readonly metadata: M;
}

/** Result of `response.withPagination`. */
export interface PaginatedResponse<T> {
  readonly success: true;
  readonly data: readonly T[];
  readonly pagination: Pagination;
}

/** Creates results for a handler to return. `ok` and `withPagination` throw INVALID_CONFIG for an unknown option. */
export interface Response {
  /** Returns `data` unchanged. */
  <T>(data: T): T;
  /** The caller receives `{success: true, data, metadata}`. */
  <T, M extends Readonly<Record<string, unknown>>>(data: T, metadata: M): ResponseWithMetadata<T, M>;

  /** Success without data: `{success: true}`. */
  ok(): { readonly success: true };
  /** Success with data: `{success: true, data, message?}`. */
  ok<T>(options: { readonly data: T; readonly message?: string | undefined }): {
    readonly success: true;
    readonly data: T;
    readonly message?: string;
  };
  /** Success with a message: `{success: true, message}`. */
  ok(options: { readonly message: string }): { readonly success: true; readonly message: string };

  /**
   * One page of a list: `{success: true, data, pagination}`. `page` counts from 1 (default 1), `pageSize` defaults to
   * 10.
   *
   * @throws RpcError VALIDATION if `total`, `page` or `pageSize` isn't an integer or is too small, because these
   *   usually come from the caller's parameters.
   */
  withPagination<T>(options: {
    readonly data: readonly T[];
    readonly total: number;
    readonly page?: number | undefined;
    readonly pageSize?: number | undefined;
  }): PaginatedResponse<T>;
}

interface OkOptions {
  readonly data?: unknown;
  readonly message?: string | undefined;
}

interface PageOptions<T> {
  readonly data: readonly T[];
  readonly total: number;
  readonly page?: number | undefined;
  readonly pageSize?: number | undefined;
}

const OK = new KnownOptions<OkOptions>("response.ok", { data: true, message: true });
const PAGE = new KnownOptions<PageOptions<unknown>>("response.withPagination", {
  data: true,
  total: true,
  page: true,
  pageSize: true,
});

const PAGE_FORM = "response.withPagination({ data, total, page, pageSize }) needs its options, got undefined";

function ok(options: OkOptions = {}): { success: true; data?: unknown; message?: string } {
  OK.check(options);
  const result: { success: true; data?: unknown; message?: string } = { success: true };
  if (options.data !== undefined) result.data = options.data;
  if (options.message) result.message = options.message;
  return result;
}

function withPagination<T>(options: PageOptions<T>): PaginatedResponse<T> {
  if (options === undefined) throw new ConduitError(ErrorCode.INVALID_CONFIG, PAGE_FORM);
  PAGE.check(options);
  const { data, total, page = 1, pageSize = 10 } = options;
  requireWhole("total", total, 0);
  requireWhole("page", page, 1);
  requireWhole("pageSize", pageSize, 1);
  const totalPages = Math.ceil(total / pageSize);
  return {
    success: true,
    data,
    pagination: {
      total,
      page,
      page_size: pageSize,
      total_pages: totalPages,
      has_next: page < totalPages,
      has_prev: page > 1,
    },
  };
}

function requireWhole(field: string, value: number, min: number): void {
  if (Number.isSafeInteger(value) && value >= min) return;
  const expected = `an integer of ${min} or more`;
  throw new RpcError(ErrorCode.VALIDATION, `${field} must be ${expected}, got ${describeValue(value)}`, {
    details: { field, expected, received: String(value) },
  });
}

/**
 * Creates results for a handler to return, as netconduit's `Response` does. A handler may also return plain values;
 * `response(data)` exists for ported code.
 */
export const response: Response = Object.assign(
  (data: unknown, metadata?: Readonly<Record<string, unknown>>): unknown =>
    metadata === undefined ? data : { success: true, data, metadata },
  { ok, withPagination },
) as Response;
