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
