import type { RpcError } from "../errors.ts";
import { isMap } from "../util/is-map.ts";
import { baseFrameTypes, type FrameTypes, isOptionalFrameType } from "../wire/frame-types.ts";
import type { CloseReason } from "./close-reason.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import type { AnyExtension, Extension, ExtensionHost, FrameSpec, ReceivedFrame } from "./extension.ts";

/** Parameters of the negotiated extensions, by name. Empty with a plain netconduit peer. */
export type Agreement = ReadonlyMap<string, unknown>;

/** For a plain netconduit peer. */
export const NO_AGREEMENT: Agreement = new Map();

/** The extensions that a server or client supports. */
export class ExtensionRegistry implements FrameTypes {
  readonly extensions: readonly AnyExtension[];
  readonly #settings: ConnectionSettings;
  readonly #offer: Readonly<Record<string, unknown>>;
  readonly #byType: ReadonlyMap<number, { readonly index: number; readonly spec: FrameSpec }>;

  /** @throws Error if two extensions share a name or a frame type */
  constructor(extensions: readonly AnyExtension[], settings: ConnectionSettings) {
    this.extensions = extensions;
    this.#settings = settings;
    const byType = new Map<number, { index: number; spec: FrameSpec }>();
    const names = new Set<string>();
    for (const [index, { name, frames }] of extensions.entries()) {
      if (names.has(name)) throw new Error(`Two extensions are named '${name}'`);
      names.add(name);
      for (const spec of frames) {
        if (byType.has(spec.type) || baseFrameTypes.maxPayloadBytes(spec.type, 0) >= 0) {
          throw new Error(`Frame type ${spec.type} of extension '${name}' is taken`);
        }
        byType.set(spec.type, { index, spec });
      }
    }
    this.#byType = byType;
    const offered = extensions.map((extension) => [extension.name, extension.offer(settings)] as const);
    this.#offer = Object.fromEntries(offered.filter(([, params]) => params !== null));
  }

  /** The map `extensions` of AUTH_REQUEST, with the extensions that this side supports. */
  get offer(): Readonly<Record<string, unknown>> {
    return this.#offer;
  }

  /** Negotiates with the peer's map, whether it is an offer or an answer. */
  accept(theirs: unknown): Agreement {
    if (!isMap(theirs)) return NO_AGREEMENT;
    const agreed = new Map<string, unknown>();
    for (const extension of this.extensions) {
      if (!Object.hasOwn(theirs, extension.name) || !Object.hasOwn(this.#offer, extension.name)) continue;
      if (extension.needs !== undefined && !agreed.has(extension.needs)) continue;
      const params: unknown = extension.accept(theirs[extension.name], this.#settings);
      if (params !== null) agreed.set(extension.name, params);
    }
    return agreed;
  }

  /** The map `extensions` of AUTH_SUCCESS, with this side's parameters of the negotiated extensions. */
  answer(agreement: Agreement): Record<string, unknown> {
    return Object.fromEntries(Object.entries(this.#offer).filter(([name]) => agreement.has(name)));
  }

  /** As {@link FrameTypes}. */
  maxPayloadBytes(type: number, limit: number): number {
    const base = baseFrameTypes.maxPayloadBytes(type, limit);
    if (base >= 0) return base;
    const entry = this.#byType.get(type);
    if (entry === undefined) return isOptionalFrameType(type) ? limit : -1;
    return Math.min(limit, entry.spec.maxPayloadBytes ?? limit);
  }

  /** The name of the extension that a frame type belongs to, or null. */
  nameOfType(type: number): string | null {
    return this.extensions[this.indexOfType(type)]?.name ?? null;
  }

  /** The index of the extension that a frame type belongs to, or -1. */
  indexOfType(type: number): number {
    return this.#byType.get(type)?.index ?? -1;
  }
}

/** The extensions of one logged-in connection, with their state. */
export class AttachedExtensions {
  readonly #registry: ExtensionRegistry;
  /** By the extension's index in the registry; undefined if not attached. */
  readonly #states: unknown[];

  constructor(registry: ExtensionRegistry, agreement: Agreement, connection: ExtensionHost) {
    this.#registry = registry;
    this.#states = new Array(registry.extensions.length);
    registry.extensions.forEach((extension, index) => {
      const isAgreed = agreement.has(extension.name);
      if (!isAgreed && extension.isBase !== true) return;
      this.#states[index] = extension.attach(connection, isAgreed ? agreement.get(extension.name) : null) ?? null;
    });
  }

  /** The connection's state of an extension; undefined if it isn't attached. */
  state<State>(extension: Extension<unknown, State>): State | undefined {
    return this.#states[this.#registry.extensions.indexOf(extension)] as State | undefined;
  }

  /** Passes a frame to its extension. Returns false if no attached extension has frames of this type. */
  receive(frame: ReceivedFrame): boolean {
    const index = this.#registry.indexOfType(frame.type);
    const extension = this.#registry.extensions[index];
    if (extension?.receive === undefined || this.#states[index] === undefined) return false;
    extension.receive(this.#states[index], frame);
    return true;
  }

  callAbandoned(idHi: number, idLo: number): void {
    this.#forEach((extension, state) => extension.callAbandoned?.(state, idHi, idLo));
  }

  requestRefused(name: string, error: RpcError): void {
    this.#forEach((extension, state) => extension.requestRefused?.(state, name, error));
  }

  closing(reason: CloseReason): void {
    this.#forEach((extension, state) => extension.closing?.(state, reason));
  }

  closed(reason: CloseReason): void {
    this.#forEach((extension, state) => extension.closed?.(state, reason));
  }
  #forEach(visit: (extension: AnyExtension, state: unknown) => void): void {
    this.#registry.extensions.forEach((extension, index) => {
      if (this.#states[index] !== undefined) visit(extension, this.#states[index]);
    });
  }
}
