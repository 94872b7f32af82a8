import { createHash } from "node:crypto";
import { scope } from "@stf/torch";
import type { ImageBank } from "./image-bank.js";

/** Images whose bytes are copied at a time. */
const IMAGES_AT_ONCE = 16_384;

/**
 * Identifies the images of a bank with their shape, order and labels: SHA-256 in hexadecimal. A single changed pixel gives
 * another digest.
 */
export function digestOfImages({ shape, count, labels, pixels }: ImageBank): string {
  const hash = createHash("sha256");
  hash.update(JSON.stringify([shape.channels, shape.height, shape.width, count, labels !== undefined]));
  for (let first = 0; first < count; first += IMAGES_AT_ONCE) {
    const rows = scope(() => pixels.narrow(0, first, Math.min(IMAGES_AT_ONCE, count - first)).toTypedArray());
    hash.update(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength));
  }
  if (labels) hash.update(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength));
  return hash.digest("hex");
}
