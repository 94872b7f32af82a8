/** The rotations and reflections of EXIF orientations. */

/** Whether an orientation exchanges width and height. */
export const isOnItsSide = (orientation: number): boolean => orientation >= 5;

/**
 * An image with its orientation applied.
 *
 * @param pixels - in the order H, W, channels
 * @param orientation - EXIF's number, 1 to 8: 1 unchanged, 3 upside down, 6 and 8 a quarter turn, the others reflected
 */
export function oriented(
  pixels: Uint8Array,
  { width, height, channels }: { readonly width: number; readonly height: number; readonly channels: number },
  orientation: number,
): Uint8Array {
  const isSwapped = isOnItsSide(orientation);
  const [columns, rows] = isSwapped ? [height, width] : [width, height];
  const isFromRight = [2, 3, 7, 8].includes(orientation);
  const isFromBelow = [3, 4, 6, 7].includes(orientation);
  const turned = new Uint8Array(pixels.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [x, y] = isSwapped ? [row, column] : [column, row];
      const from = (isFromBelow ? height - 1 - y : y) * width + (isFromRight ? width - 1 - x : x);
      const to = row * columns + column;
      for (let c = 0; c < channels; c++) turned[to * channels + c] = pixels[from * channels + c] as number;
    }
  }
  return turned;
}
