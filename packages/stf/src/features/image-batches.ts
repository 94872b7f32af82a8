/** What feature networks share: which images they take, and dividing them. */

import { cat, type Device, noGrad, scope, type Tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";
import type { ExtractedFeatures } from "./feature-network.js";

/** Images that are computed at a time on a CPU: more take more memory and are not faster. */
const CPU_BATCH = 16;

/** @throws InputError for tensors that are not images as bytes */
function checkImages(images: Tensor): void {
  const { shape, dtype } = images;
  const isImages = shape.length === 4 && dtype === "uint8" && (shape[1] === 1 || shape[1] === 3);
  if (isImages && !shape.includes(0)) return;
  throw new InputError(
    `feature networks describe images as bytes [B, 1 or 3, H, W], at least one, found ${dtype} [${shape.join(", ")}]`,
  );
}

/**
 * Features of any number of images, a batch at a time.
 *
 * @param images - uint8 `[B, 1 or 3, H, W]`
 * @param describe - features and logits of a batch on the device
 * @throws InputError for other tensors
 */
export function extractInBatches(
  images: Tensor,
  device: Device,
  describe: (batch: Tensor) => { features: Tensor; logits?: Tensor },
): ExtractedFeatures {
  checkImages(images);
  return noGrad(() =>
    scope(() => {
      const size = device === "cpu" ? CPU_BATCH : images.size(0);
      const parts = images.split(size).map((some) => scope(() => describe(some.to({ device }))));
      const logits = parts.map((part) => part.logits).filter((part) => part !== undefined);
      return {
        features: cat(parts.map(({ features }) => features)),
        logits: logits.length > 0 ? cat(logits) : undefined,
      };
    }),
  );
}

/** Grey images as colours with three equal channels, in the fastest order for convolutions in float32. */
export function asColours(images: Tensor): Tensor {
  // cuDNN is slow with channels_last images in float32.
  const memoryFormat = images.device === "cpu" ? "channelsLast" : "contiguous";
  return images.expand([-1, 3, -1, -1]).contiguous({ memoryFormat });
}
