import { empty, scope } from "@stf/torch";
import { ImageBank } from "./image-bank.js";

/** Images mirrored at a time. */
const ROWS_AT_ONCE = 4096;

/**
 * The images followed by their mirror images: item `i + N` is item `i` with left and right swapped, and the same label. This is
 * `xflip` of the published code. The new bank holds its own copy of everything, so it takes twice the memory of the old one,
 * which may be disposed of afterwards.
 */
export function withMirrorImages(bank: ImageBank): ImageBank {
  const { count, dimension, device, labels } = bank;
  const { channels, height, width } = bank.shape;
  const pixels = empty([2 * count, dimension], { dtype: "uint8", device });
  for (let first = 0; first < count; first += ROWS_AT_ONCE) {
    scope(() => {
      const rows = Math.min(ROWS_AT_ONCE, count - first);
      const images = bank.pixels.narrow(0, first, rows);
      const mirrored = images.view([rows, channels * height, width]).flip([2]);
      pixels.narrow(0, first, rows).copy_(images);
      pixels.narrow(0, count + first, rows).copy_(mirrored.view([rows, dimension]));
    });
  }
  const { classNames, unlabelled } = bank;
  const doubled = labels && Int32Array.from([...labels, ...labels]);
  return new ImageBank(bank.name, bank.shape, pixels, { labels: doubled, classNames, unlabelled });
}
