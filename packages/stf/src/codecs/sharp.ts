import { firstLine, InputError } from "../common/errors.js";

type Sharp = typeof import("sharp")["default"];

let loaded: Promise<Sharp> | undefined;

/**
 * The image library, loaded when first needed.
 *
 * @throws InputError when it is not installed
 */
export function loadSharp(): Promise<Sharp> {
  loaded ??= importSharp();
  return loaded;
}

async function importSharp(): Promise<Sharp> {
  const { default: sharp } = await import("sharp").catch((cause: Error) => {
    throw new InputError(
      `images need the package sharp with its binaries for this platform (${firstLine(cause)}); try: npm install --include=optional sharp`,
      { cause },
    );
  });
  // Every image is decoded once, and several at a time: neither a cache nor threads within one image help.
  sharp.cache(false);
  sharp.concurrency(1);
  return sharp;
}
