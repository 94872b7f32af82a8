/** The processes that share a job: how they find each other, agree, and compute together. */

import {
  cat,
  type FlatParameters,
  type GradientBuckets,
  ProcessGroup,
  type Store,
  scope,
  type Tensor,
  tensor,
  zeros,
} from "@stf/torch";
import type { Meeting, StartedRank } from "../common/ranks.js";
import type { StepRanks } from "../training/ranks.js";
import type { JobContext } from "./context.js";
import { openStore } from "./meeting-place.js";
import { type Neighbours, neighboursOf, thisMachine } from "./neighbours.js";
import { type Patience, Peers } from "./peers.js";

/** Gradients that are summed at once have at least this many bytes: fewer would cost more in calls than they hide. */
const BUCKET_BYTES = 4 * 2 ** 20;

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || host.startsWith("127.");

/**
 * Processes that share a job. What they call on it is collective: all of them must, in the same order. Every wait ends: with what it
 * waits for, or with a {@link TeamError} that names the process that has failed.
 */
export class Team implements StepRanks {
  /** Number of this process, from 0. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  /** The processes of this machine, whatever whoever started them has said about that. */
  readonly local: Neighbours;
  readonly #meeting: Meeting;
  /** Of the keys in the store, which may serve other jobs, and served this one before it was started again. */
  readonly #prefix: string;
  readonly #store: Store;
  readonly #peers: Peers;
  readonly #group: ProcessGroup;
  /** For tensors on GPUs; what the processes tell each other goes through the other group. */
  #deviceGroup: ProcessGroup | undefined;
  #buckets: { readonly of: FlatParameters; readonly buckets: GradientBuckets } | undefined;
  /** When the sums of the last step began and ended; undefined before the first. */
  lastSums: ReturnType<GradientBuckets["finish"]> | undefined;

  /** @param peers - of which all have come */
  private constructor({ rank, size }: StartedRank, meeting: Meeting, prefix: string, store: Store, peers: Peers) {
    this.rank = rank;
    this.size = size;
    this.#meeting = meeting;
    this.#prefix = prefix;
    this.#store = store;
    this.#peers = peers;
    this.#group = this.#connect("gloo");
    this.#peers.end();
    this.local = neighboursOf(rank, this.gather(thisMachine()));
  }

  /**
   * Joins the processes of a job, and waits until all have come.
   *
   * @param options - who hears of waits, and may give up
   * @throws InputError when the port is taken or the first process cannot be reached; TeamError when a process does not come;
   * UsageError when two have one rank
   */
  static async join(
    rank: StartedRank,
    meeting: Meeting,
    options: Pick<JobContext, "reporter" | "shouldStop"> & { readonly patience?: Patience },
  ): Promise<Team> {
    const { reporter, shouldStop, patience: { join = 600, silence = 30, lag = 45 } = {} } = options;
    const { job = "", attempt } = rank;
    const prefix = `stf/${job}/${attempt}/`;
    const store = await openStore({ rank: rank.rank, meeting, patience: join, reporter, shouldStop });
    const peers = new Peers(store, { prefix, rank, meeting, reporter, patience: { join, silence, lag } });
    await peers.awaitAll(options);
    return new Team(rank, meeting, prefix, store, peers);
  }

  /** Whether this process takes part no more. */
  get hasEnded(): boolean {
    return this.#peers.hasEnded;
  }

  #connect(backend: "gloo" | "nccl"): ProcessGroup {
    const networkInterface = process.env["GLOO_SOCKET_IFNAME"];
    const isLocal = isLoopback(this.#meeting.host) && !networkInterface;
    return new ProcessGroup(this.#store, {
      ...{ rank: this.rank, size: this.size, backend, networkInterface },
      prefix: `${this.#prefix}${backend}/`,
      ...(isLocal && { address: "127.0.0.1" }),
      observer: {
        waiting: (seconds) => this.#peers.waiting(seconds),
        failed: (error) => this.#peers.afterBreak(error),
      },
    });
  }

  /** The group for a tensor: that for GPUs is connected when all processes first need it. */
  #groupOf({ device }: { readonly device: string }): ProcessGroup {
    if (device === "cpu") return this.#group;
    this.#deviceGroup ??= this.#connect("nccl");
    return this.#deviceGroup;
  }

  /** The group for a tensor, whose collective begins. */
  #begun(tensor: { readonly device: string } = { device: "cpu" }): ProcessGroup {
    this.#peers.begin();
    return this.#groupOf(tensor);
  }

  /** Runs what takes long on this process alone; the others then wait for it as long as it lives. */
  alone<T>(what: string, body: () => T): T {
    return this.#peers.alone(what, body);
  }

  /** Replaces a tensor by its sum over the processes. */
  sum(values: Tensor): void {
    this.#begun(values).allReduce(values).wait();
    this.#peers.end();
  }

  /** Replaces tensors by those of the first process. */
  fromFirst(tensors: readonly Tensor[]): void {
    const works = tensors.map((each) => this.#begun(each).broadcast(each));
    for (const work of works) work.wait();
    this.#peers.end();
  }

  /** The tensors of all processes, one after the other along the first axis, in which they may differ. */
  gatherRows(rows: Tensor): Tensor {
    return scope(() => {
      const counts = this.gather(rows.size(0));
      const most = Math.max(...counts);
      const [, ...rest] = rows.shape as number[];
      const padded = zeros([most, ...rest], { dtype: rows.dtype, device: rows.device });
      padded.narrow(0, 0, rows.size(0)).copy_(rows);
      const all = this.#begun(padded).allGather(padded);
      this.#peers.end();
      return cat(all.map((each, rank) => each.narrow(0, 0, counts[rank] as number)));
    });
  }

  #gatherBytes(bytes: Uint8Array): Uint8Array[] {
    return scope(() => {
      const lengths = this.#begun()
        .allGather(tensor([bytes.length], { dtype: "int64" }))
        .map((each) => each.item());
      const padded = new Uint8Array(Math.max(...lengths, 1));
      padded.set(bytes);
      const all = this.#begun().allGather(tensor(padded));
      this.#peers.end();
      return all.map((each, rank) => (each.toTypedArray() as Uint8Array).subarray(0, lengths[rank]));
    });
  }

  /** What each process passes, in their order. It must be representable as JSON. */
  gather<T>(value: T): T[] {
    const texts = this.#gatherBytes(new TextEncoder().encode(JSON.stringify(value)));
    return texts.map((text) => JSON.parse(new TextDecoder().decode(text)) as T);
  }

  /** What the first process computes, in all of them, as JSON carries it. The others wait as long as it lives. */
  async first<T>(what: string, body: () => T | Promise<T>): Promise<T> {
    if (this.rank > 0) return this.gather<T | null>(null)[0] as T;
    const value = await this.alone(what, body);
    this.gather(value);
    return value;
  }

  /**
   * Whether this process or any other was asked to stop: asked between the steps of a job whose processes meet seldom, this ends all of
   * them soon. Not a collective.
   *
   * @param own - whether this process was asked to
   * @throws TeamError when another process has failed; Stopped when it has {@link stop}ped
   */
  isToStop(own: boolean): boolean {
    return this.#peers.isToStop(own);
  }

  any(statements: readonly boolean[]): boolean[] {
    return scope(() => {
      const counts = tensor(Float32Array.from(statements, Number));
      this.sum(counts);
      return Array.from(counts.toFloat32Array(), (count) => count > 0);
    });
  }

  /** Sums the gradients of a training from now on. */
  share(parameters: FlatParameters): void {
    this.#buckets?.buckets[Symbol.dispose]();
    const buckets = this.#groupOf(parameters.gradients).buckets(parameters, BUCKET_BYTES);
    this.#buckets = { of: parameters, buckets };
  }

  beginSums(): void {
    this.#buckets?.buckets.begin();
  }

  finishSums(others: readonly Tensor[]): number {
    const { of, buckets } = this.#buckets as { of: FlatParameters; buckets: GradientBuckets };
    const group = this.#begun(of.gradients);
    this.lastSums = buckets.finish();
    const start = performance.now();
    const works = others.map((each) => group.allReduce(each));
    for (const work of works) work.wait();
    this.#peers.end();
    return this.lastSums.waited + (performance.now() - start) / 1000;
  }

  /** Waits until all have come here. */
  meet(): void {
    // Of a tensor without elements, c10d would wait for nobody.
    this.any([false]);
  }

  /** Leaves without a word, after what concerns the others; nothing after {@link stop} or {@link fail}. */
  leave(): void {
    // After those its collectives may never end, so the groups are left as they are.
    if (this.hasEnded) return;
    for (const each of [this.#buckets?.buckets, this.#peers, this.#deviceGroup, this.#group, this.#store]) {
      each?.[Symbol.dispose]();
    }
  }

  /** Tells the others why this process cannot go on. What they wait for then ends. */
  fail(cause: Error): void {
    this.#peers.fail(cause);
  }

  /** Stops in the middle of a job: in the others, what they wait for and {@link isToStop} throw Stopped. */
  stop(): void {
    this.#peers.stop();
  }
}
