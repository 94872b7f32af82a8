/** Maps `position` to 0 to size - 1 by reflection at the ends, which are not repeated. */
export function reflect(position: number, size: number): number {
  if (size === 1) return 0;
  const period = 2 * size - 2;
  const wrapped = ((position % period) + period) % period;
  return size - 1 - Math.abs(size - 1 - wrapped);
}
