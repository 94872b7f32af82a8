import { writeFileAtomically } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";
import { interleave } from "./planes.js";
import { loadSharp } from "./sharp.js";

const MILLISECONDS_PER_FRAME = 80;
const MILLISECONDS_AT_END = 2000;

/**
 * Writes an animation that loops forever, with a pause on its last frame. The name sets the format, *.gif or *.webp.
 *
 * @param frames - bytes in the order C, H, W
 */
export async function writeAnimation(path: string, frames: readonly Uint8Array[], shape: ImageShape): Promise<void> {
  const { channels, height, width } = shape;
  const sharp = await loadSharp();
  const data = Buffer.concat(frames.map((frame) => interleave(frame, shape)));
  const raw = {
    width,
    height: height * frames.length,
    channels: channels as 1 | 3,
    pageHeight: height,
  };
  const timing = {
    loop: 0,
    delay: frames.map((_, i) => (i === frames.length - 1 ? MILLISECONDS_AT_END : MILLISECONDS_PER_FRAME)),
  };
  const image = sharp(data, { raw, limitInputPixels: false });
  const encoded = await (/\.webp$/i.test(path)
    ? image.webp({ lossless: true, ...timing })
    : image.gif({ keepDuplicateFrames: true, ...timing })
  ).toBuffer();
  writeFileAtomically(path, encoded);
}
