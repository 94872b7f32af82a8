/**
 * The Fréchet wavelet-packet distance (Veeramacheneni et al., ICLR 2025, arXiv 2312.15289): the mean over wavelet packets of the
 * Fréchet distance between their coefficients. It needs no network and knows no domain, and tells which frequencies differ.
 *
 * As published: Haar wavelets, L = 4 levels, images in [0, 1], all 4^L packets of the last level, one vector of the
 * coefficients of all channels for each packet, no logarithm; a side that is odd at some level is extended by its
 * last value but one. The published images are 256 x 256, with packets of 16 x 16; smaller images have fewer
 * levels here, see {@link defaultPacketLevel}.
 */

import { cat, scope, stack, type Tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { formatImageShape, type ImageShape } from "../common/image-shape.js";
import { forEachBlock } from "./feature-matrix.js";
import { groupDistances } from "./frechet.js";
import { RunningMoments } from "./moments.js";

/** What numbers must share to be compared. */
export interface PacketProtocol {
  /** The wavelet. */
  readonly wavelet: "haar";
  /** L */
  readonly level: number;
  /** 4^L */
  readonly packets: number;
  /** Coefficients of all channels in a packet. */
  readonly coefficients: number;
  /** Values of the images that are transformed. */
  readonly range: readonly [0, 1];
}

/** Means and covariances of the packets of a set of images. */
export interface PacketStatistics {
  /** How the packets were made. */
  readonly protocol: PacketProtocol;
  /** Shape of the images. */
  readonly shape: ImageShape;
  /** Images. */
  readonly count: number;
  /** float64 `[packets, coefficients]` */
  readonly mean: Tensor;
  /** With divisor N - 1, float64 `[packets, coefficients, coefficients]`. */
  readonly covariance: Tensor;
}

/** {@link packetDistance}'s result. */
export interface PacketDistance {
  /** Mean over packets. */
  readonly value: number;
  /**
   * The distance of each packet. Its number has two bits for each level, the first level highest: 1 where the difference
   * of neighbouring columns is taken instead of their sum, 2 where that of rows is. Packet 0 has the coarse picture.
   */
  readonly perPacket: Float64Array;
  /** How the packets were made. */
  readonly protocol: PacketProtocol;
}

/** Beyond it sums of bytes are no longer exact in float32. */
const MOST_LEVELS = 8;
const PUBLISHED_LEVEL = 4;
const SMALLEST_SIDE = 4;
/** Values that are transformed at a time. */
const VALUES_AT_ONCE = 2 ** 22;

/**
 * The level for images of a size: the published 4, or fewer where a packet would be smaller than 4 x 4: 4 from 64 x 64 on,
 * 3 for 32 x 32, 2 for 28 x 28. Covariances of small packets need few images: 48 coefficients for 32 x 32 RGB.
 */
export function defaultPacketLevel({ height, width }: ImageShape): number {
  const fitting = Math.floor(Math.log2(Math.min(height, width) / SMALLEST_SIDE));
  return Math.max(1, Math.min(PUBLISHED_LEVEL, fitting));
}

/**
 * Sums and differences of neighbours along an axis, as two packets for each packet: `[B, P, C, H, W]` to `[B, 2 P, C, ...]`. An odd
 * side is extended by its last value but one, so that its last value has the same partner as the one before.
 */
function haar(packets: Tensor, axis: 3 | 4): Tensor {
  const even = packets.slice(axis, 0, null, 2);
  const odd = packets.slice(axis, 1, null, 2);
  const missing = even.size(axis) - odd.size(axis);
  const partners = missing === 0 ? odd : cat([odd, odd.narrow(axis, odd.size(axis) - 1, 1)], axis);
  return stack([even.add(partners), even.sub(partners)], 2).flatten(1, 2);
}

/**
 * The wavelet packets of images, float64 `[4^L, B, C h w]` with sides h and w of 1/2^L: coefficients of orthonormal Haar
 * wavelets. Sums of bytes are exact, so packets do not depend on the device or the batch.
 *
 * @param images - uint8 `[B, C, H, W]`
 */
export function waveletPackets(images: Tensor, level: number): Tensor {
  return scope(() => {
    let packets = images.float().unsqueeze(1);
    for (let l = 0; l < level; l++) packets = haar(haar(packets, 3), 4);
    const scale = 1 / (255 * 2 ** level);
    return packets.flatten(2).transpose(0, 1).double().mul_(scale);
  });
}

/** @throws InputError when the sides cannot be halved so often. */
function protocolOf(shape: ImageShape, level: number): PacketProtocol {
  const { channels, height, width } = shape;
  // A side of one pixel has no neighbours.
  const most = Math.min(MOST_LEVELS, Math.ceil(Math.log2(Math.min(height, width))));
  if (!Number.isInteger(level) || level < 1 || level > most) {
    throw new InputError(
      most < 1
        ? `wavelet packets need at least 2 x 2 pixels, found ${formatImageShape(shape)}`
        : `the level of wavelet packets must be from 1 to ${most} for images of ${formatImageShape(shape)}, found ${level}`,
    );
  }
  const side = (pixels: number): number => Math.ceil(pixels / 2 ** level);
  const coefficients = channels * side(height) * side(width);
  return { wavelet: "haar", level, packets: 4 ** level, coefficients, range: [0, 1] };
}

/** Sums up the statistics of wavelet packets batch by batch, in float64. */
export class PacketAccumulator {
  /** Shape of the images. */
  readonly shape: ImageShape;
  /** How the packets are made. */
  readonly protocol: PacketProtocol;
  readonly #moments = new RunningMoments();

  /**
   * @param shape - that of all images
   * @param level - L; {@link defaultPacketLevel} when left out
   * @throws InputError when the sides cannot be halved so often.
   */
  constructor(shape: ImageShape, level = defaultPacketLevel(shape)) {
    this.shape = shape;
    this.protocol = protocolOf(shape, level);
  }

  /** Images so far. */
  get count(): number {
    return this.#moments.count;
  }

  /**
   * @param images - uint8 `[B, C, H, W]`
   * @throws InputError for images of another shape.
   */
  add(images: Tensor): void {
    const { channels, height, width } = this.shape;
    const [batch = 0, ...found] = images.shape;
    if (found.join() !== [channels, height, width].join()) {
      const wanted = `[images, ${channels}, ${height}, ${width}]`;
      throw new InputError(`images for wavelet packets must be ${wanted}, found [${images.shape.join(", ")}]`);
    }
    const atOnce = Math.max(1, Math.floor(VALUES_AT_ONCE / (channels * height * width)));
    forEachBlock(batch, atOnce, (first, length) => {
      this.#moments.add(waveletPackets(images.narrow(0, first, length), this.protocol.level));
    });
  }

  /**
   * Adds the sums over other images, such as those of another process.
   *
   * @throws InputError when they have another shape or level.
   */
  merge(other: PacketAccumulator): void {
    checkSame(this, other);
    const moments = other.#moments.moments;
    if (moments) this.#moments.merge(moments);
  }

  /**
   * The statistics of all images so far, on the CPU. The caller disposes of the tensors.
   *
   * @throws InputError with fewer than two images.
   */
  statistics(): PacketStatistics {
    const moments = this.#moments.moments;
    if (!moments || moments.count < 2) {
      throw new InputError(`wavelet packets need at least 2 images, found ${moments?.count ?? "none"}`);
    }
    const { count, mean, scatter } = moments;
    const { shape, protocol } = this;
    return scope(() => {
      const covariance = scatter.to({ device: "cpu", copy: true }).div_(count - 1);
      return { protocol, shape, count, mean: mean.to({ device: "cpu", copy: true }), covariance };
    });
  }

  /** Frees the sums. */
  dispose(): void {
    this.#moments.dispose();
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

interface Described {
  readonly shape: ImageShape;
  readonly protocol: PacketProtocol;
}

/** @throws InputError when the packets of two sets do not correspond. */
function checkSame(a: Described, b: Described): void {
  const [own, other] = [a, b].map(
    ({ shape, protocol }) => `images of ${formatImageShape(shape)} at level ${protocol.level}`,
  );
  if (own !== other) throw new InputError(`wavelet packets of ${own} cannot be compared with those of ${other}`);
}

/**
 * The Fréchet wavelet-packet distance of two sets of images of one size. Like every Fréchet distance it is larger with fewer
 * images, so only numbers from equally many compare.
 *
 * @throws InputError when shapes or levels differ.
 */
export function packetDistance(a: PacketStatistics, b: PacketStatistics): PacketDistance {
  checkSame(a, b);
  const perPacket = groupDistances(a, b);
  const value = perPacket.reduce((sum, distance) => sum + distance, 0) / perPacket.length;
  return { value, perPacket, protocol: a.protocol };
}
