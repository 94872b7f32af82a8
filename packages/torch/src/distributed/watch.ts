/** Which of several processes live, and what they say of themselves. */

import { native } from "../native.js";
import type { Store } from "./store.js";

/** What a {@link Watch} knows. */
export interface WatchState {
  /** Seconds since the store answered last. */
  readonly answered: number;
  /** The first failure that a process has told; empty for none. */
  readonly failure: string;
  /** Whether another process had this one's rank before; then this one is not heard. */
  readonly isDoubled: boolean;
  /** Of each process, the seconds since it was heard last, by this process's clock. */
  readonly ages: readonly number[];
  /** What each process said last; empty for one that has not been heard. */
  readonly words: readonly string[];
}

/**
 * Tells the other processes twice a second that this one lives, and hears them, on a thread of its own: also in the middle of a long
 * step, and while the store does not answer. A process that is stopped or killed falls silent.
 */
export class Watch implements Disposable {
  readonly #id: number;

  /**
   * @param prefix - of its keys in the store: other watches on the same store have others
   * @param words - what the other processes read of this one
   */
  constructor(store: Store, prefix: string, rank: number, size: number, words: string) {
    this.#id = native.openWatch(store.host, store.port, prefix, rank, size, words);
  }

  /** Changes what the other processes read of this one. */
  say(words: string): void {
    native.watchSay(this.#id, words);
  }

  /**
   * Tells a failure to all processes, if none was told before.
   *
   * @param atMost - seconds to wait until it is told
   */
  fail(reason: string, atMost = 2): void {
    native.watchFail(this.#id, reason, atMost * 1000);
  }

  /** What is known now. */
  state(): WatchState {
    const [answered, failure, isDoubled, ages, words] = native.watchState(this.#id);
    return { answered, failure, isDoubled, ages, words };
  }

  /** Falls silent. */
  [Symbol.dispose](): void {
    native.closeWatch(this.#id);
  }
}
