/**
 * Calls `work(0)` to `work(count - 1)`, begun in this order, at most `lanes` at one time. After a failure no more are begun,
 * those under way are waited for, and of all failures that of the lowest number is thrown: always the same one.
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
