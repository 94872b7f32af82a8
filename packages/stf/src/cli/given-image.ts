/** What `stf generate` makes of an image that it is given. */

import { readFileSync } from "node:fs";
import type { Device, Tensor } from "@stf/torch";
import type { GenerateCommandOptions } from "../config/generate-options.js";
import type { ImageShape } from "../data/bank.js";
import { readImages } from "../data/images.js";
import { InputError } from "../run/errors.js";
import type { GenerateOptions } from "../sampling/generate.js";
import { knownGrey, knownPixels } from "../sampling/known-part.js";

/** One image, float64 `[1, C, H, W]` on [-1, 1]. @throws InputError when it is damaged, or of another shape. */
async function readImage(path: string, { channels, height, width }: ImageShape, device: Device): Promise<Tensor> {
  const source = {
    location: path,
    paths: [path],
    nameOf: () => path,
    async read() {
      try {
        return readFileSync(path);
      } catch (cause) {
        throw new InputError(`${path} cannot be read (${(cause as Error).message})`, { cause });
      }
    },
    close() {},
  };
  const bank = await readImages(source, [path]);
  const { shape } = bank;
  const isGrey = shape.channels === 1;
  if (shape.height !== height || shape.width !== width || (!isGrey && channels === 1)) {
    const found = `${shape.width}x${shape.height} and ${isGrey ? "grey" : "in colour"}`;
    bank.dispose();
    throw new InputError(
      `${path} must be as the network's images, ${width}x${height} and ${channels === 1 ? "grey" : "in colour"}; it is ${found}: crop, resize or convert it`,
    );
  }
  const image = bank
    .toValues(bank.gather(Int32Array.of(0)))
    .view([1, shape.channels, height, width])
    .double()
    .expand([1, channels, height, width])
    .contiguous()
    .to({ device });
  bank.dispose();
  return image;
}

/** How the images must agree with those that the options name. */
export async function givenImage(
  { image: path, mask: maskPath, colorize, fromSigma }: GenerateCommandOptions,
  shape: ImageShape,
  device: Device,
): Promise<Pick<GenerateOptions, "known" | "from">> {
  if (path === null) return {};
  const image = await readImage(path, shape, device);
  const from = fromSigma === null ? {} : { from: image };
  if (colorize) return { known: knownGrey(image), ...from };
  if (maskPath === null) return from;
  const mask = await readImage(maskPath, { ...shape, channels: 1 }, device);
  return { known: knownPixels(image, mask.gt(0).double()), ...from };
}
