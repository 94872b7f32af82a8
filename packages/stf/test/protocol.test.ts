/** Protocols, and the choice of images that belongs to them. */

import { describe, expect, test } from "vitest";
import { drawingDifference, readDrawingProtocol } from "../src/jobs/drawing-protocol.js";
import { chosenSubset, RandomState } from "../src/random/random-state.js";
import { formatDifference, isProtocol, methodDifferences, type Protocol } from "../src/run/protocol.js";

const protocol = (method: Protocol["method"], network = "a"): Protocol => ({ subject: { network }, method });

describe("methods are compared fact by fact", () => {
  const one = protocol({ images: { count: 1000, seeds: "0-999" }, features: { sha256: "ab" } });

  test("the subject and the order of facts do not count", () => {
    const other = protocol({ features: { sha256: "ab" }, images: { seeds: "0-999", count: 1000 } }, "b");
    expect(methodDifferences(one, other)).toEqual([]);
  });

  test("other, missing and additional facts do", () => {
    const other = protocol({ images: { count: 2000 }, features: { sha256: "ab" }, reference: { count: 3 } });
    expect(methodDifferences(one, other)).toEqual([
      { name: "images.count", first: 1000, second: 2000 },
      { name: "images.seeds", first: "0-999", second: undefined },
      { name: "reference.count", first: undefined, second: 3 },
    ]);
    expect(methodDifferences(one, other).map(formatDifference)[1]).toBe('images.seeds: "0-999" and not stated');
  });

  test("a fact that JSON cannot hold equals what JSON makes of it", () => {
    const [before, after] = [protocol({ drawing: { S_max: Infinity } }), protocol({ drawing: { S_max: null } })];
    expect(methodDifferences(before, JSON.parse(JSON.stringify(after)))).toEqual([]);
  });

  test.each([null, 3, {}, { subject: {} }, { subject: [], method: {} }, { subject: {}, method: { images: 3 } }])(
    "%j is not a protocol",
    (value) => expect(isProtocol(value)).toBe(false),
  );
});

describe("how images were drawn", () => {
  const earlier = {
    network: "x",
    network_sha256: "ab",
    sampler: "heun",
    steps: 18,
    rho: 7,
    S_max: null,
    subdirs: false,
  };
  const current: Protocol = {
    subject: { network: "moved/x", network_sha256: "ab" },
    method: { drawing: { sampler: "heun", steps: 18 } },
  };

  test("records of earlier versions, which had every option, mean the same", () => {
    expect(drawingDifference(readDrawingProtocol(earlier) as Protocol, current)).toBeUndefined();
    const other = readDrawingProtocol({ ...earlier, rho: 5 }) as Protocol;
    expect(drawingDifference(other, current)).toEqual({ name: "rho", there: 5, here: 7 });
    const batches = readDrawingProtocol({ ...earlier, batch: 8, processes: 2 }) as Protocol;
    expect(drawingDifference(batches, current)).toMatchObject({ name: "batches", there: [8, 2] });
    expect(readDrawingProtocol({ some: "thing" })).toBeUndefined();
  });

  test("another network is another set, wherever the file is", () => {
    const other = { ...current, subject: { network: "moved/x", network_sha256: "cd" } };
    expect(drawingDifference(current, other)).toEqual({ name: "network_sha256", there: "ab", here: "cd" });
  });
});

describe("RandomState", () => {
  // np.random.RandomState(seed).shuffle(np.arange(count)), NumPy 1.24.
  test.each([
    [10, 0, [2, 8, 4, 9, 1, 6]],
    [1000, 7, [778, 334, 271, 802, 216, 408]],
    [70_000, 123_456_789, [31089, 12424, 23134, 7535, 69077, 15520]],
  ])("shuffles %d numbers with seed %d as NumPy does", (count, seed, first) => {
    const items = Int32Array.from({ length: count }, (_, i) => i);
    new RandomState(seed).shuffle(items);
    expect(Array.from(items.slice(0, 6))).toEqual(first);
    expect(Array.from(items).sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
  });

  test("a subset is in ascending order, and everything if there is no more", () => {
    expect(Array.from(chosenSubset(10, 4, 0))).toEqual([2, 4, 8, 9]);
    expect(Array.from(chosenSubset(3, 5, 0))).toEqual([0, 1, 2]);
    expect(chosenSubset(10, 4, 2 ** 31)).toEqual(chosenSubset(10, 4, 0));
  });
});
