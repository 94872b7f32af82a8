/** Where processes meet: the key-value store of c10d. */

import { native } from "../native.js";

/** Where a store is, and who serves it. */
export interface StoreOptions {
  /** Name or address of the machine that serves it. */
  readonly host: string;
  /** Its port; 0, for the process that serves it, takes one that is free. */
  readonly port: number;
  /** Whether this process serves it, until the store is disposed of or the process ends. */
  readonly isServer: boolean;
  /** Seconds to connect in; 30 when left out. */
  readonly timeout?: number;
}

/** A connection to the store (c10d's TCPStore), by which process groups find each other. */
export class Store implements Disposable {
  /** Name or address of the machine that serves it. */
  readonly host: string;
  /** Its port. */
  readonly port: number;
  /** The number that identifies it to the addon. */
  readonly id: number;

  /** @throws TorchError when it cannot be served or reached in time. */
  constructor({ host, port, isServer, timeout = 30 }: StoreOptions) {
    [this.id, this.port] = native.openStore(host, port, isServer, Math.ceil(timeout * 1000));
    this.host = host;
  }

  /** Ends the connection; that of the process that serves it ends the store. */
  [Symbol.dispose](): void {
    native.closeStore(this.id);
  }
}
