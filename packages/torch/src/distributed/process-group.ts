/** Collectives of several processes, through c10d's process groups. */

import { handlesOf } from "../dispatch.js";
import { native } from "../native.js";
import type { FlatParameters } from "../nn/flat.js";
import { keep, scope } from "../scope.js";
import type { Tensor } from "../tensor.js";
import type { Store } from "./store.js";

/** Milliseconds that a wait blocks before its observer is asked. */
const SLICE = 200;
const FLOAT32_BYTES = 4;

/** Whoever waits for other processes. */
export interface Waiting {
  /**
   * Called several times a second while a collective is not complete.
   *
   * @param seconds - how long this one has been waited for
   * @throws an error to wait no longer
   */
  waiting(seconds: number): void;
  /** What to throw for a collective that failed. */
  failed(error: Error): Error;
}

const patient: Waiting = { waiting() {}, failed: (error) => error };

/** How a process joins a group. */
export interface GroupOptions {
  /** Number of this process, from 0. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  /** gloo: tensors in the memory of CPUs; nccl: on GPUs. */
  readonly backend: "gloo" | "nccl";
  /** Of the group's keys in the store; another for every group. */
  readonly prefix: string;
  /** The network interface that gloo uses, such as "eth0". */
  readonly networkInterface?: string | undefined;
  /** The address at which the others reach this process; that of its host name when both are left out. */
  readonly address?: string | undefined;
  /** Is asked while this process waits for others. */
  readonly observer?: Waiting;
}

/** Polls until `isDone`, and lets the observer decide how long. */
function waitUntil<T>(isDone: (milliseconds: number) => T | null, observer: Waiting): T {
  const start = performance.now();
  for (;;) {
    let done: T | null;
    try {
      done = isDone(SLICE);
    } catch (error) {
      throw observer.failed(error as Error);
    }
    if (done !== null) return done;
    observer.waiting((performance.now() - start) / 1000);
  }
}

/** A collective under way. Its tensors must live until it is complete. */
export class Work {
  readonly #id: number;
  readonly #observer: Waiting;

  /** @internal */
  constructor(id: number, observer: Waiting) {
    this.#id = id;
    this.#observer = observer;
  }

  /**
   * Blocks until it is complete.
   *
   * @throws what the group's observer throws
   */
  wait(): void {
    waitUntil((milliseconds) => native.workIsDone(this.#id, milliseconds) || null, this.#observer);
  }
}

/** Several processes with collectives. All of them must call the same collectives, in the same order. */
export class ProcessGroup implements Disposable {
  /** Number of this process, from 0. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  readonly #id: number;
  readonly #observer: Waiting;

  /**
   * Joins a group, and waits for all others to do so.
   *
   * @throws TorchError when the processes cannot be connected; what the observer throws.
   */
  constructor(store: Store, options: GroupOptions) {
    const { rank, size, backend, prefix, networkInterface = "", address = "", observer = patient } = options;
    this.rank = rank;
    this.size = size;
    this.#observer = observer;
    this.#id = native.openGroup(store.id, prefix, backend, rank, size, networkInterface, address);
    waitUntil((milliseconds) => {
      if (native.groupIsReady(this.#id)) return true;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.min(milliseconds, 5));
      return null;
    }, observer);
  }

  /** Replaces the tensor by its sum over the processes, bit for bit the same in all of them. */
  allReduce(tensor: Tensor): Work {
    return new Work(native.allReduce(this.#id, tensor.handle), this.#observer);
  }

  /** Replaces the tensor by that of the process `rank`. */
  broadcast(tensor: Tensor, rank = 0): Work {
    return new Work(native.broadcast(this.#id, tensor.handle, rank), this.#observer);
  }

  /** The tensors of all processes, in their order; all must have one shape and dtype. Blocks until they are here. */
  allGather(tensor: Tensor): Tensor[] {
    return scope(() => {
      const outputs = Array.from({ length: this.size }, () => keep(tensor.emptyLike()));
      new Work(native.allGather(this.#id, handlesOf(outputs), tensor.handle), this.#observer).wait();
      return outputs;
    });
  }

  /**
   * Buckets of flat gradients, which are summed over the processes while the backward pass runs.
   *
   * @param bytes - least size of a bucket
   */
  buckets(parameters: FlatParameters, bytes: number): GradientBuckets {
    return new GradientBuckets(this.#id, this.#observer, parameters, bytes);
  }

  /** Leaves the group. Only when no process waits in a collective. */
  [Symbol.dispose](): void {
    native.closeGroup(this.#id);
  }
}

/** When the buckets of a step were summed. */
export interface BucketTimes {
  /** Seconds from {@link GradientBuckets.begin} to the end of the backward pass. */
  readonly backward: number;
  /** Seconds from there to the end of the last sum: what communication costs. */
  readonly waited: number;
  /** Begin and end of each bucket's sum, as seen by this process; the end of one that was complete earlier is when it was asked for. */
  readonly sums: readonly {
    /** When it began. */
    readonly begun: number;
    /** When it ended. */
    readonly ended: number;
  }[];
}

/**
 * Sums of gradients over processes, in buckets. A bucket is summed as soon as the backward pass has filled it, while the pass
 * goes on; the first are those of the last parameters, which a backward pass reaches first.
 */
export class GradientBuckets implements Disposable {
  readonly #id: number;
  readonly #observer: Waiting;
  readonly #parts: readonly Tensor[];

  /** @internal */
  constructor(group: number, observer: Waiting, { gradients, placed }: FlatParameters, bytes: number) {
    this.#observer = observer;
    const parts: Tensor[] = [];
    const bucketOf: number[] = [];
    let end = gradients.numel;
    for (let i = placed.length - 1; i >= 0; i--) {
      const { offset } = placed[i] as (typeof placed)[number];
      bucketOf[i] = parts.length;
      if (i > 0 && (end - offset) * FLOAT32_BYTES < bytes) continue;
      parts.push(keep(gradients.narrow(0, offset, end - offset)));
      end = offset;
    }
    this.#parts = parts;
    const parameters = placed.map(({ parameter }) => parameter);
    this.#id = native.openBuckets(group, handlesOf(parts), handlesOf(parameters), bucketOf);
  }

  /** Number of buckets. */
  get count(): number {
    return this.#parts.length;
  }

  /** Announces the last backward pass of a step: after it the gradients are complete. */
  begin(): void {
    native.beginBuckets(this.#id);
  }

  /** After that pass, waits until all are summed. Without {@link begin}, nothing has been summed before. */
  finish(): BucketTimes {
    const backward = native.flushBuckets(this.#id);
    const start = performance.now();
    const times = waitUntil((milliseconds) => native.bucketsAreDone(this.#id, milliseconds), this.#observer);
    const sums = this.#parts.map((_, i) => ({ begun: times[2 * i] as number, ended: times[2 * i + 1] as number }));
    return { backward, waited: (performance.now() - start) / 1000, sums };
  }

  /** Frees the buckets. */
  [Symbol.dispose](): void {
    native.closeBuckets(this.#id);
    for (const part of this.#parts) part.dispose();
  }
}
