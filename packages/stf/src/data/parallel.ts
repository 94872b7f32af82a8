/**
 * Calls `work(0)` to `work(count - 1)`, started in this order, at most `lanes` at a time. After a failure no more are started,
 * running ones are awaited, and the failure with the lowest number is thrown, so that it is always the same one.
 */
export async function inParallel(count: number, lanes: number, work: (index: number) => Promise<void>): Promise<void> {
  const failures = new Map<number, unknown>();
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count && failures.size === 0) {
      const index = next++;
      await work(index).catch((error: unknown) => failures.set(index, error));
    }
  };
  await Promise.all(Array.from({ length: Math.min(lanes, count) }, lane));
  if (failures.size > 0) throw failures.get(Math.min(...failures.keys()));
}

/**
 * The results of `work(0)` to `work(count - 1)`, in this order, while the next ones are computed, `lanes` at a time. A caller
 * that stops early waits for those that were started.
 */
export async function* inOrder<T>(
  count: number,
  lanes: number,
  work: (index: number) => Promise<T>,
): AsyncGenerator<T, void> {
  const started: Promise<T>[] = [];
  const start = (index: number): void => {
    const result = work(index);
    // A failure is thrown when its turn comes; until then it is not unhandled.
    result.catch(() => {});
    started.push(result);
  };
  try {
    for (let index = 0; index < count; index++) {
      while (started.length < lanes && index + started.length < count) start(index + started.length);
      yield await (started.shift() as Promise<T>);
    }
  } finally {
    await Promise.allSettled(started);
  }
}
