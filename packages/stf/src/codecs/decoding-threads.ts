/** Quick decoding on all processors. */

import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { type DecodedBatch, packed, unpacked } from "./decoding-batch.js";
import { type Planes, QuickDecoder } from "./quick-decode.js";

/** Decodes batches of files, each as {@link QuickDecoder} does. */
export interface BatchDecoder {
  /** The images of the files in their order; undefined for those that decode.ts should look at. */
  decode(files: readonly Uint8Array[]): Promise<readonly (Planes | undefined)[]>;
  /** Ends the threads. */
  close(): Promise<void>;
}

type Answer = (batch: DecodedBatch | undefined) => void;

/** One thread. If it dies, everything that it had is left to others. */
class DecodingThread {
  readonly #worker: Worker;
  readonly #waiting: Answer[] = [];
  #isAlive = true;

  constructor() {
    // By its name in package.json, which is the compiled file wherever this one is.
    const path = createRequire(import.meta.url).resolve("#decoding-thread");
    this.#worker = new Worker(path, { execArgv: [] });
    this.#worker.on("message", (batch: DecodedBatch) => this.#waiting.shift()?.(batch));
    this.#worker.on("error", () => this.#end());
    this.#worker.on("exit", () => this.#end());
  }

  /** Batches that it has not answered; more than any other thread has if it is dead. */
  get load(): number {
    return this.#isAlive ? this.#waiting.length : Number.POSITIVE_INFINITY;
  }

  #end(): void {
    this.#isAlive = false;
    for (const answer of this.#waiting.splice(0)) answer(undefined);
  }

  async decode(files: readonly Uint8Array[]): Promise<readonly (Planes | undefined)[]> {
    if (!this.#isAlive) return files.map(() => undefined);
    const batch = packed(files);
    const decoded = await new Promise<DecodedBatch | undefined>((resolve) => {
      // Batches are answered in their order.
      this.#waiting.push(resolve);
      this.#worker.postMessage(batch, [batch.bytes.buffer]);
    });
    if (!decoded) return files.map(() => undefined);
    return unpacked(decoded).map((bytes, i) => {
      const channels = decoded.channels[i];
      return channels && { bytes, channels };
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** @param count - number of threads; 0 decodes on the calling one */
export async function openBatchDecoder(count: number): Promise<BatchDecoder> {
  if (count === 0) {
    const decoder = await QuickDecoder.load();
    return { decode: async (files) => files.map((file) => decoder.decode(file)), close: async () => {} };
  }
  const threads = Array.from({ length: count }, () => new DecodingThread());
  return {
    decode: (files) => threads.reduce((least, thread) => (thread.load < least.load ? thread : least)).decode(files),
    async close() {
      await Promise.all(threads.map((thread) => thread.close()));
    },
  };
}
