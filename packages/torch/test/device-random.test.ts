/**
 * Random numbers on the device that STF_TEST_DEVICE names, the CPU by default: their streams, their laws, and whether they are
 * those that PyTorch draws there, where a Python has the same PyTorch.
 */

import { execFileSync } from "node:child_process";
import {
  engineReport,
  full,
  Generator,
  manualSeed,
  rand,
  randint,
  randn,
  randperm,
  scope,
  type Tensor,
  zeros,
} from "@stf/torch";
import { describe, expect, test } from "vitest";
import { device, expectClose, scopedTest, type Tolerance } from "./support.js";

describe("streams", () => {
  scopedTest(
    "equal seeds give equal streams, other seeds others, all 64 bits of them where the device uses as many",
    () => {
      const draw = (seed: number | bigint): Tensor => {
        using generator = new Generator(seed, device);
        return randn([100], { generator, device });
      };
      const first = draw(7);
      expect(first.device.startsWith(device)).toBe(true);
      expect(first.equal(draw(7n))).toBe(true);
      expect(first.equal(draw(8))).toBe(false);
      const low = draw(5);
      expect(low.equal(draw(5n + 2n ** 40n))).toBe(device === "cpu");
    },
  );

  scopedTest("successive draws differ, and manualSeed starts again", () => {
    using generator = new Generator(7, device);
    const [first, second] = [rand([50], { generator, device }), rand([50], { generator, device })];
    expect(first.equal(second)).toBe(false);
    expect(first.equal(rand([50], { generator: generator.manualSeed(7), device }))).toBe(true);
    expect(second.equal(rand([50], { generator, device }))).toBe(true);
  });

  scopedTest("a state continues where it was taken, in another generator too", () => {
    using generator = new Generator(3, device);
    randn([3], { generator, device });
    const state = generator.state();
    expect([state.dtype, state.device]).toEqual(["uint8", "cpu"]);
    const expected = randn([500], { generator, device });
    expect(expected.equal(randn([500], { generator: generator.setState(state), device }))).toBe(true);
    using other = new Generator(99, device);
    expect(expected.equal(randn([500], { generator: other.setState(state), device }))).toBe(true);
  });

  scopedTest("generators disturb neither each other nor the global one, which manualSeed seeds", () => {
    manualSeed(2);
    const expected = [rand([20], { device }), rand([20], { device })];
    manualSeed(2);
    using a = new Generator(4, device);
    using b = new Generator(4, device);
    const found = [rand([20], { device })];
    const mine = rand([20], { generator: a, device });
    found.push(rand([20], { device }));
    expect(found.map((numbers, i) => numbers.equal(expected[i]!))).toEqual([true, true]);
    expect(mine.equal(rand([20], { generator: b, device }))).toBe(true);
    expect(mine.equal(expected[0]!)).toBe(false);
  });
});

describe("laws", () => {
  const count = 400_000;
  /** A sound generator strays by four standard errors for one seed in 16,000; the seeds here are fixed. */
  const within = (value: number, expected: number, standardError: number): void =>
    expect(Math.abs(value - expected)).toBeLessThan(4 * standardError);

  for (const dtype of ["float32", "float64"] as const) {
    scopedTest(`normal ${dtype} numbers have the moments 0, 1, 0, 3, and neighbours are independent`, () => {
      using generator = new Generator(11, device);
      const x = randn([count], { generator, dtype, device }).double();
      const moment = (k: number): number => x.pow(k).mean().item();
      // The variance of the k-th power is E[x^2k] - E[x^k]^2, with even moments 1, 3, 15, 105.
      within(moment(1), 0, Math.sqrt(1 / count));
      within(moment(2), 1, Math.sqrt(2 / count));
      within(moment(3), 0, Math.sqrt(15 / count));
      within(moment(4), 3, Math.sqrt(96 / count));
      for (const lag of [1, 2, 4, 256]) {
        const products = x.slice(0, lag).mul(x.slice(0, 0, -lag));
        within(products.mean().item(), 0, Math.sqrt(1 / count));
      }
    });
  }

  scopedTest("uniform numbers fill [0, 1) evenly", () => {
    using generator = new Generator(12, device);
    const x = rand([count], { generator, device });
    expect([x.min().item() >= 0, x.max().item() < 1]).toEqual([true, true]);
    within(x.double().mean().item(), 0.5, Math.sqrt(1 / 12 / count));
    for (const share of x.histc(10, 0, 1).div(count).toFloat64Array()) within(share, 0.1, Math.sqrt(0.09 / count));
  });

  scopedTest("others have the means that they should have", () => {
    using generator = new Generator(13, device);
    const x = zeros([count], { dtype: "float64", device });
    within(x.exponential_(2, { generator }).mean().item(), 0.5, 0.5 / Math.sqrt(count));
    within(x.normal_(3, 2, { generator }).mean().item(), 3, 2 / Math.sqrt(count));
    within(x.uniform_(-1, 3, { generator }).mean().item(), 1, 4 / Math.sqrt(12 * count));
    within(x.bernoulli_(0.3, { generator }).mean().item(), 0.3, Math.sqrt(0.21 / count));
    within(x.random_(0, 5, { generator }).mean().item(), 2, Math.sqrt(2 / count));
    within(randint(-2, 3, [count], { generator, device }).double().mean().item(), 0, Math.sqrt(2 / count));
    const order = randperm(50, { generator, device });
    expect(order.sort()[0].toArray()).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(order.toArray()).not.toEqual(order.sort()[0].toArray());
  });
});

/** A draw here, and the same in Python; `g` is the generator there. */
interface Draw {
  readonly name: string;
  readonly python: string;
  readonly draw: (generator: Generator) => Tensor;
  /** On the CPU; elsewhere nothing may differ. */
  readonly onCpu?: Tolerance;
}

const exact: Tolerance = { rtol: 0, atol: 0 };
/** The vector code for logarithms and cosines is the build's. */
const rounding: Tolerance = { rtol: 1e-6, atol: 1e-6 };

const draws: readonly Draw[] = [
  ...[3, 1000, 70_000].map((count) => ({
    name: `randn of ${count}`,
    python: `torch.randn([${count}], generator=g, device=device)`,
    draw: (generator: Generator) => randn([count], { generator, device }),
    onCpu: rounding,
  })),
  {
    name: "randn in float64",
    python: "torch.randn([33], generator=g, device=device, dtype=torch.float64)",
    draw: (generator) => randn([33], { generator, dtype: "float64", device }),
    onCpu: rounding,
  },
  {
    name: "rand",
    python: "torch.rand([1000], generator=g, device=device)",
    draw: (generator) => rand([1000], { generator, device }),
  },
  {
    name: "randint",
    python: "torch.randint(-5, 1000, [1000], generator=g, device=device)",
    draw: (generator) => randint(-5, 1000, [1000], { generator, device }),
  },
  {
    name: "bernoulli",
    python: "torch.bernoulli(torch.full([1000], 0.3, device=device), generator=g)",
    draw: (generator) => full([1000], 0.3, { device }).bernoulli({ generator }),
  },
];

const script = `
import json, sys, torch
device, seeds = sys.argv[1], [int(seed) for seed in sys.argv[2:]]
found = {"version": torch.__version__, "device": device == "cpu" or torch.cuda.is_available(), "streams": []}
if found["device"]:
    for seed in seeds:
        g = torch.Generator(device)
        g.manual_seed(seed)
        values = [(${draws.map(({ python }) => python).join(", ")})]
        found["streams"].append({"values": [v.cpu().tolist() for v in values[0]], "state": g.get_state().tolist()})
print(json.dumps(found))
`;

interface Stream {
  readonly values: readonly number[][];
  readonly state: readonly number[];
}

const seeds = [0, 12345, 2 ** 31 + 7];

/** What PyTorch draws in a row for each seed, or why it cannot be asked. */
function ofPython(): Stream[] | string {
  const candidates = [process.env["PYTHON"], "python3", "/usr/bin/python3"].filter((path) => path !== undefined);
  const [major, minor] = engineReport().version.split(".");
  const reasons: string[] = [];
  for (const path of candidates) {
    try {
      const text = execFileSync(path, ["-c", script, device, ...seeds.map(String)], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
        maxBuffer: 2 ** 28,
      });
      const found = JSON.parse(text) as { version: string; device: boolean; streams: Stream[] };
      if (!found.version.startsWith(`${major}.${minor}.`)) reasons.push(`${path} has PyTorch ${found.version}`);
      else if (!found.device) reasons.push(`the PyTorch of ${path} sees no ${device}`);
      else return found.streams;
    } catch (error) {
      const stderr = (error as { stderr?: string | null }).stderr ?? "";
      // The script's own failures are no reason to do without it.
      if (stderr.includes("Traceback") && !stderr.includes("No module named 'torch'")) throw error;
      reasons.push(`${path} has no PyTorch`);
    }
  }
  return `no Python with PyTorch ${major}.${minor}: ${reasons.join(", ")}`;
}

test("a generator draws what PyTorch's draws on the same device, and ends in the same state", ({ skip }) => {
  const streams = ofPython();
  if (typeof streams === "string") return skip(streams);
  scope(() => {
    for (const [i, seed] of seeds.entries()) {
      using generator = new Generator(seed, device);
      const { values, state } = streams[i]!;
      for (const [k, { name, draw, onCpu = exact }] of draws.entries()) {
        const found = draw(generator).toFloat64Array();
        expect(found.length, name).toBe(values[k]!.length);
        expectClose(found, values[k]!, device === "cpu" ? onCpu : exact);
      }
      expect(generator.state().toArray()).toEqual(state);
    }
  });
});
