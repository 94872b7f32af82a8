/** Metrics of image bytes: wavelet packets, channels, and copies of training images. */

import { cat, full, Generator, randperm, scope, type Tensor, tensor } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { ChannelAccumulator, compareChannels } from "../src/metrics/channel-moments.js";
import { findCopies } from "../src/metrics/copies.js";
import { identicalRows } from "../src/metrics/identical-rows.js";
import {
  defaultPacketLevel,
  PacketAccumulator,
  type PacketStatistics,
  packetDistance,
  waveletPackets,
} from "../src/metrics/wavelet-packets.js";
import { congruential, isIncreasing, values } from "./metrics-support.js";
import { maxDeviation, meanAndError, randomBytes, relativeDeviation, tensorsLeft } from "./support.js";

type Shape = readonly [channels: number, height: number, width: number];

const shapeOf = ([channels, height, width]: Shape) => ({ channels, height, width });

/** The images of make_values.py: bytes from the congruential generator times a factor. */
function images(count: number, shape: Shape, seed: number, factor = 1): Tensor {
  const numbers = congruential(count * shape[0] * shape[1] * shape[2], seed);
  const bytes = Uint8Array.from(numbers, (u) => Math.floor(factor * Math.floor(256 * u)));
  return tensor(bytes, { shape: [count, ...shape] });
}

function packetStatistics(pixels: Tensor, level?: number): PacketStatistics {
  using accumulator = new PacketAccumulator(shapeOf(pixels.shape.slice(1) as unknown as Shape), level);
  accumulator.add(pixels);
  return accumulator.statistics();
}

describe("wavelet packets", () => {
  test.each<[keyof typeof values.packets, Shape]>([
    ["rgb", [3, 8, 8]],
    ["odd", [1, 7, 10]],
  ])("have the distances that NumPy and SciPy find: %s", (name, shape) => {
    scope(() => {
      const [a, b] = [packetStatistics(images(50, shape, 5), 2), packetStatistics(images(60, shape, 6, 0.5), 2)];
      const { value, perPacket, protocol } = packetDistance(a, b);
      const expected = values.packets[name];
      expect(relativeDeviation(perPacket, expected)).toBeLessThan(1e-12);
      const mean = expected.reduce((sum, distance) => sum + distance, 0) / 16;
      expect(Math.abs(value / mean - 1)).toBeLessThan(1e-12);
      expect(protocol).toMatchObject({ wavelet: "haar", level: 2, packets: 16, range: [0, 1] });
      expect(protocol.coefficients).toBe(name === "rgb" ? 12 : 6);
    });
  });

  test("keep the energy of the image, and put a constant and a checkerboard into one packet each", () => {
    scope(() => {
      const pixels = images(4, [3, 16, 16], 1);
      const energy = (x: Tensor): number => x.double().square().sum().item();
      expect(energy(waveletPackets(pixels, 3)) * 255 ** 2).toBeCloseTo(energy(pixels), 3);
      const constant = waveletPackets(full([1, 1, 8, 8], 255, { dtype: "uint8" }), 2);
      expect(constant.flatten(1).square().sum([1]).toFloat64Array()[0]).toBe(64);
      const checks = Uint8Array.from({ length: 64 }, (_, i) => 255 * (((i >> 3) + i) % 2));
      const packets = waveletPackets(tensor(checks, { shape: [1, 1, 8, 8] }), 1);
      expect(Array.from(packets.flatten(1).square().sum([1]).toFloat64Array())).toEqual([16, 0, 0, 16]);
    });
  });

  test("are numbered by frequency: 1 for differences of columns, 2 for rows", () => {
    scope(() => {
      const pattern = (of: (row: number, column: number) => number): number[] => {
        const bytes = Uint8Array.from({ length: 16 }, (_, i) => 255 * of(i >> 2, i % 4));
        const packets = waveletPackets(tensor(bytes, { shape: [1, 1, 4, 4] }), 2);
        const energies = packets.flatten(1).square().sum([1]).toFloat64Array();
        return Array.from(energies.keys()).filter((packet) => energies[packet] !== 0);
      };
      expect(pattern((_, column) => column % 2)).toEqual([0, 4]);
      expect(pattern((row) => row % 2)).toEqual([0, 8]);
      expect(pattern((_, column) => column >> 1)).toEqual([0, 1]);
      expect(pattern((row) => row >> 1)).toEqual([0, 2]);
    });
  });

  test("do not depend on batches or processes", () => {
    scope(() => {
      const pixels = images(50, [1, 12, 12], 3);
      const whole = packetStatistics(pixels);
      const shape = shapeOf([1, 12, 12]);
      using total = new PacketAccumulator(shape);
      for (const [first, length] of [
        [0, 1],
        [1, 30],
        [31, 19],
      ] as const) {
        using part = new PacketAccumulator(shape);
        part.add(pixels.narrow(0, first, length));
        total.merge(part);
      }
      const merged = total.statistics();
      expect(merged.count).toBe(50);
      expect(relativeDeviation(merged.covariance, whole.covariance)).toBeLessThan(1e-12);
      expect(packetDistance(merged, whole).value).toBeLessThan(1e-10);
    });
  });

  test("have levels that fit the size", () => {
    const levels = [28, 32, 64, 256, 30, 4, 2].map((side) => defaultPacketLevel(shapeOf([3, side, side])));
    expect(levels).toEqual([2, 3, 4, 4, 2, 1, 1]);
    expect(defaultPacketLevel(shapeOf([3, 218, 20]))).toBe(2);
    expect(() => new PacketAccumulator(shapeOf([1, 5, 9]), 4)).toThrow(/from 1 to 3 for images of 9x5x1, found 4/);
    expect(new PacketAccumulator(shapeOf([1, 5, 9]), 3).protocol.coefficients).toBe(2);
    expect(() => new PacketAccumulator(shapeOf([1, 1, 9]))).toThrow(/at least 2 x 2 pixels/);
  });

  test("of other shapes or too few images are refused", () => {
    scope(() => {
      const [a, b] = [packetStatistics(images(9, [1, 8, 8], 1)), packetStatistics(images(9, [1, 8, 10], 1))];
      expect(() => packetDistance(a, b)).toThrow(/8x8x1 at level 1 .* 10x8x1 at level 1/);
      expect(() => packetStatistics(images(1, [1, 8, 8], 1))).toThrow(/at least 2 images, found 1/);
      using accumulator = new PacketAccumulator(shapeOf([1, 8, 8]));
      expect(() => accumulator.add(images(2, [3, 8, 8], 1))).toThrow(/\[images, 1, 8, 8\], found \[2, 3, 8, 8\]/);
    });
  });

  test("differ more with more noise, and not with the order", () => {
    scope(() => {
      const pixels = images(200, [1, 8, 8], 3, 0.5);
      const noise = images(200, [1, 8, 8], 4, 0.5);
      const own = packetStatistics(pixels);
      using generator = new Generator(1);
      const shuffled = packetStatistics(pixels.indexSelect(0, randperm(200, { generator })));
      expect(packetDistance(shuffled, own).value).toBeLessThan(1e-10);
      const distances = [0, 0.1, 0.3, 1].map((level) => {
        const noisy = pixels.float().add(noise.float().sub(64).mul(level)).round().clamp(0, 255);
        return packetDistance(packetStatistics(noisy.to({ dtype: "uint8" })), own).value;
      });
      expect(isIncreasing(distances)).toBe(true);
    });
  });
});

describe("mean and contrast of channels", () => {
  const momentsOf = (pixels: Tensor) => {
    const accumulator = new ChannelAccumulator(pixels.size(1));
    for (let first = 0; first < pixels.size(0); first += 7) {
      const part = new ChannelAccumulator(pixels.size(1));
      scope(() => part.add(pixels.narrow(0, first, Math.min(7, pixels.size(0) - first))));
      accumulator.merge(part);
    }
    return accumulator.moments();
  };

  test("are those of all pixels", () => {
    scope(() => {
      const pixels = images(30, [3, 5, 4], 1);
      momentsOf(pixels).forEach(({ mean, contrast }, channel) => {
        const all = pixels.select(1, channel).double();
        expect(mean.value).toBeCloseTo(all.mean().item(), 10);
        expect(contrast.value).toBeCloseTo(Math.sqrt(all.sub(all.mean()).square().mean().item()), 10);
      });
    });
  });

  test("have the errors of repeated draws, where the pixels of an image belong together", () => {
    const draws = Array.from({ length: 200 }, (_, seed) =>
      scope(() => {
        const levels = images(80, [1, 1, 1], seed, 0.5).expand([80, 1, 4, 4]);
        return momentsOf(levels.add(randomTensor([80, 1, 4, 4], seed)))[0]!;
      }),
    );
    for (const name of ["mean", "contrast"] as const) {
      const { error } = meanAndError(draws.map((draw) => draw[name].value));
      const claimed = meanAndError(draws.map((draw) => draw[name].error!)).mean;
      expect(Math.abs(claimed / (error * Math.sqrt(200)) - 1), name).toBeLessThan(0.25);
    }
  });

  test("are compared channel by channel", () => {
    scope(() => {
      const pixels = images(30, [2, 4, 4], 1, 0.5);
      const brighter = cat([pixels.narrow(1, 0, 1).add(10), pixels.narrow(1, 1, 1)], 1);
      const [first, second] = compareChannels(momentsOf(brighter), momentsOf(pixels));
      expect(first!.mean.value).toBeCloseTo(10, 10);
      expect(second!.mean.value).toBe(0);
      expect(first!.contrast.value).toBeCloseTo(0, 10);
      expect(second!.mean.error).toBeCloseTo(Math.SQRT2 * momentsOf(pixels)[1]!.mean.error!, 10);
      expect(() => compareChannels(momentsOf(pixels), momentsOf(images(3, [3, 4, 4], 1)))).toThrow(/2 channels .* 3/);
    });
  });

  test("of identical images have no spread between them, and of none are refused", () => {
    const accumulator = new ChannelAccumulator(1);
    expect(() => accumulator.moments()).toThrow(/at least 1 image/);
    scope(() => accumulator.add(full([5, 1, 2, 2], 7, { dtype: "uint8" })));
    expect(accumulator.moments()).toEqual([{ mean: { value: 7, error: 0 }, contrast: { value: 0, error: 0 } }]);
    expect(() => scope(() => accumulator.add(images(1, [3, 2, 2], 1)))).toThrow(
      /\[images, 1, height, width\], found \[1, 3, 2, 2\]/,
    );
  });
});

/** Bytes below 128. */
function randomTensor(shape: number[], seed: number): Tensor {
  const size = shape.reduce((product, side) => product * side, 1);
  return tensor(
    randomBytes(size, seed + 1000).map((byte) => byte >> 1),
    { shape },
  );
}

describe("copies", () => {
  const D = 48;
  const rows = (list: readonly Uint8Array[]): Tensor =>
    tensor(Uint8Array.from(list.flatMap((row) => Array.from(row))), { shape: [list.length, D] });
  const training = Array.from({ length: 40 }, (_, i) => randomBytes(D, i));
  const changed = (row: Uint8Array, by: number): Uint8Array => row.map((byte, i) => (i < by ? byte ^ 1 : byte));
  const distance = (a: Uint8Array, b: Uint8Array): number =>
    Math.sqrt(a.reduce((sum, byte, i) => sum + (byte - b[i]!) ** 2, 0));

  test("have the distances of brute force, from bytes and from numbers far from 0", () => {
    scope(() => {
      const samples = [...Array.from({ length: 9 }, (_, i) => randomBytes(D, 100 + i)), changed(training[7]!, 3)];
      const check = (a: Tensor, b: Tensor): void => {
        const report = findCopies(a, b);
        expect(isIncreasing(report.pairs.map(({ ratio }) => ratio))).toBe(true);
        expect(report.pairs[0]).toMatchObject({ sample: 9, nearest: 7 });
        for (const pair of report.pairs) {
          const all = training.map((image, row) => ({ row, d: distance(samples[pair.sample]!, image) }));
          const [first, second] = all.sort((x, y) => x.d - y.d);
          expect([pair.nearest, pair.second]).toEqual([first!.row, second!.row]);
          expect(maxDeviation([pair.distance, pair.secondDistance], [first!.d, second!.d])).toBeLessThan(1e-12);
          expect(pair.ratio).toBeCloseTo(first!.d / second!.d, 14);
        }
        expect(report.share.value).toBe(0.1);
        expect(report.distinct).toBe(40);
      };
      check(rows(samples), rows(training));
      check(rows(samples).float().add(10_000), rows(training).float().add(10_000));
      check(rows(samples).double(), rows(training).double());
    });
  });

  test("of images that occur several times are found, and identical images have ratio 0", () => {
    scope(() => {
      const repeated = rows([...training, training[3]!, training[3]!, training[5]!]);
      expect(Array.from(identicalRows(repeated).subarray(38))).toEqual([38, 39, 3, 3, 5]);
      for (const convert of [(x: Tensor) => x, (x: Tensor) => x.float()]) {
        const samples = rows([training[3]!, changed(training[5]!, 2), randomBytes(D, 999)]);
        const { share, distinct, pairs } = findCopies(convert(samples), convert(repeated));
        expect(distinct).toBe(40);
        expect(pairs.slice(0, 2).map(({ sample, nearest }) => [sample, nearest])).toEqual([
          [0, 3],
          [1, 5],
        ]);
        expect(pairs[0]).toMatchObject({ ratio: 0, distance: 0 });
        expect(pairs[0]!.secondDistance).toBeGreaterThan(0);
        expect(share.value).toBeCloseTo(2 / 3, 14);
      }
    });
  });

  test("among features go by images that were identical before", () => {
    scope(() => {
      const pixels = rows([...training, training[3]!]);
      const nearly = pixels.float();
      nearly.select(0, 40).add_(1e-3);
      const samples = rows([training[3]!]).float().add(4e-4);
      expect(findCopies(samples, nearly).share.value).toBe(0);
      expect(findCopies(samples, nearly, { identical: identicalRows(pixels) }).share.value).toBe(1);
    });
  });

  test("are searched among all blocks of training images", () => {
    scope(() => {
      const many = tensor(randomBytes(9000 * 6, 5), { shape: [9000, 6] });
      const chosen = Int32Array.of(0, 4095, 4096, 8191, 8192, 8999);
      const samples = many.indexSelect(0, tensor(chosen));
      for (const convert of [(x: Tensor) => x, (x: Tensor) => x.float()]) {
        const { pairs, share } = findCopies(convert(samples), convert(many));
        const found = new Map(pairs.map(({ sample, nearest }) => [sample, nearest]));
        expect(Array.from(chosen.keys(), (sample) => found.get(sample))).toEqual(Array.from(chosen));
        expect(share.value).toBe(1);
      }
    });
  });

  test("need two different training images of the same size", () => {
    scope(() => {
      const samples = rows([training[0]!]);
      expect(() => findCopies(samples, rows([training[1]!, training[1]!]))).toThrow(/two training images that differ/);
      expect(() => findCopies(samples.narrow(1, 0, 5), rows(training))).toThrow(/equal length, found uint8 \[1, 5\]/);
      expect(() => findCopies(samples.float(), rows(training))).toThrow(/same dtype, found float32 .* uint8/);
      expect(() => findCopies(samples.narrow(0, 0, 0), rows(training))).toThrow(/at least 1 sample/);
      expect(() => findCopies(samples.float().mul(Number.NaN), rows(training).float())).toThrow(/not all finite/);
    });
  });
});

test("nothing is left behind", () => {
  const left = tensorsLeft(() => {
    const pixels = images(9, [3, 8, 8], 1);
    packetDistance(packetStatistics(pixels), packetStatistics(images(9, [3, 8, 8], 2)));
    findCopies(pixels.flatten(1), pixels.flatten(1));
    findCopies(pixels.flatten(1).float(), pixels.flatten(1).float());
    new ChannelAccumulator(3).add(pixels);
  });
  expect(left).toBe(0);
});
