/** What images shall agree with, out of an image file. */

import { readFileSync } from "node:fs";
import type { Device, Tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";
import type { ImageShape } from "../common/image-shape.js";
import type { GenerateCommandOptions } from "../config/generate-options.js";
import { readImages } from "../data/images.js";
import type { GenerateOptions } from "../sampling/generate.js";
import { knownGrey, knownPixels } from "../sampling/known-part.js";

/** One image, float64 `[1, C, H, W]` on [-1, 1]. @throws InputError when it is damaged, or of another size. */
async function readImage(path: string, { height, width }: ImageShape, device: Device): Promise<Tensor> {
  const source = {
    location: path,
    paths: [path],
    nameOf: () => path,
    async read() {
      try {
        return readFileSync(path);
      } catch (cause) {
        const { code, message } = cause as NodeJS.ErrnoException;
        throw new InputError(
          code === "ENOENT" ? `there is no image at ${path}` : `${path} cannot be read (${message})`,
          {
            cause,
          },
        );
      }
    },
    close() {},
  };
  const bank = await readImages(source, [path]);
  const { shape } = bank;
  if (shape.height !== height || shape.width !== width) {
    bank.dispose();
    throw new InputError(
      `${path} must have the size of the network's images, ${width}x${height}, found ${shape.width}x${shape.height}; crop or resize it`,
    );
  }
  const image = bank
    .toValues(bank.gather(Int32Array.of(0)))
    .view([1, shape.channels, height, width])
    .double()
    .to({ device });
  bank.dispose();
  return image;
}

/** An image with the network's channels. @throws InputError when it has colours, and the network none. */
function withChannels(path: string, image: Tensor, { channels }: ImageShape): Tensor {
  if (image.size(1) === channels) return image;
  if (channels === 1) {
    const grey = image.narrow(1, 0, 1);
    if (image.eq(grey).all().item()) return grey.contiguous();
    throw new InputError(`${path} must be grey as the network's images, and is in colour; convert it`);
  }
  return image.expand([1, channels, image.size(2), image.size(3)]).contiguous();
}

/** How the images must agree with those that the options name. */
export async function givenImage(
  { image: path, mask: maskPath, colorize, fromSigma }: GenerateCommandOptions,
  shape: ImageShape,
  device: Device,
): Promise<Pick<GenerateOptions, "known" | "from">> {
  if (path === null) return {};
  const image = withChannels(path, await readImage(path, shape, device), shape);
  const from = fromSigma === null ? {} : { from: image };
  if (colorize) return { known: knownGrey(image), ...from };
  if (maskPath === null) return from;
  const mask = await readImage(maskPath, shape, device);
  // White, or at least light; in a picture with colours, on average.
  return { known: knownPixels(image, mask.mean([1], true).gt(0).double()), ...from };
}
