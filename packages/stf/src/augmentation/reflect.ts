/** The place on 0 to size - 1 that `position` has when the axis goes on mirrored, without repeating its ends. */
export function reflect(position: number, size: number): number {
  if (size === 1) return 0;
  const period = 2 * size - 2;
  const wrapped = ((position % period) + period) % period;
  return size - 1 - Math.abs(size - 1 - wrapped);
}
