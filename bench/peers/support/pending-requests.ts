interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** Requests in flight, by id, for peers written by hand. */
export class PendingRequests {
  private readonly pending: Map<number, Pending> = new Map();
  private lastId = 0;

  /** Calls `send` with a new id. Settles with the reply to that id. */
  open(send: (id: number) => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.lastId += 1;
      this.pending.set(this.lastId, { resolve, reject });
      send(this.lastId);
    });
  }

  resolve(id: number, result: unknown): void {
    this.take(id).resolve(result);
  }

  reject(id: number, error: Error): void {
    this.take(id).reject(error);
  }

  /** Rejects all requests because the connection has closed. */
  rejectAll(error: Error): void {
    for (const { reject } of this.pending.values()) reject(error);
    this.pending.clear();
  }

  private take(id: number): Pending {
    const pending = this.pending.get(id);
    if (pending === undefined) throw new Error(`Reply to request ${id}, which is not in flight`);
    this.pending.delete(id);
    return pending;
  }
}
