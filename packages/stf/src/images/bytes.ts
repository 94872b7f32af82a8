import type { Tensor } from "@stf/torch";

/** The images of a uint8 batch `[B, C, H, W]`, each as its own bytes in the order C, H, W. */
export function imagesOf(batch: Tensor): Uint8Array[] {
  const bytes = batch.toTypedArray() as Uint8Array;
  const size = bytes.length / batch.size(0);
  return Array.from({ length: batch.size(0) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}
