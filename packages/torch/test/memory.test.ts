import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
  conv3x3,
  engineReport,
  grad,
  keep,
  memory,
  noGrad,
  ones,
  randn,
  releaseFreeMemory,
  scope,
  type Tensor,
  TorchError,
  tensor,
  zeros,
} from "@stf/torch";
import { describe, expect, test } from "vitest";
import { native } from "../src/native.js";
import { expectClose } from "./support.js";

const disposed = (tensors: readonly Tensor[]): boolean[] => tensors.map((x) => x.isDisposed);

describe("scope", () => {
  test("frees what was made inside, and nothing else", () => {
    using outside = ones([3]);
    const before = memory();
    const inside: Tensor[] = [];
    const sum = scope(() => {
      inside.push(outside.add(1), outside.mul(2));
      expect(memory().tensors).toBe(before.tensors + 2);
      return inside[1]!.sum().item();
    });
    expect(sum).toBe(6);
    expect(disposed(inside)).toEqual([true, true]);
    expect(outside.isDisposed).toBe(false);
    expect(memory()).toEqual(before);
  });

  const escapes: [name: string, make: (x: Tensor) => unknown, read: (result: never) => Tensor][] = [
    ["a tensor", (x) => x, (x: Tensor) => x],
    ["an array", (x) => [1, x], (list: [number, Tensor]) => list[1]],
    ["an object", (x) => ({ loss: x, step: 1 }), (object: { loss: Tensor }) => object.loss],
    ["a map", (x) => new Map([["weight", x]]), (map: Map<string, Tensor>) => map.get("weight")!],
    [
      "nests of these",
      (x) => ({ list: [new Map([[0, { x }]])] }),
      (nest: { list: Map<number, { x: Tensor }>[] }) => nest.list[0]!.get(0)!.x,
    ],
  ];
  for (const [name, make, read] of escapes) {
    test(`${name} carries its tensors out, through every scope`, () => {
      const before = memory();
      const result = scope(() => {
        const inner = scope(() => {
          const dropped = zeros([5]);
          return make(dropped.add(1));
        });
        zeros([7]);
        return inner;
      });
      expect(memory().tensors).toBe(before.tensors + 1);
      using x = read(result as never);
      expectClose(x, ones([5]));
    });
  }

  test("what the inner scope returns dies with the outer one", () => {
    const escaped: Tensor[] = [];
    scope(() => {
      escaped.push(scope(() => ones([1])));
      expect(escaped[0]!.isDisposed).toBe(false);
    });
    expect(disposed(escaped)).toEqual([true]);
  });

  test("a tensor of an outer scope stays there when an inner one returns it", () => {
    scope(() => {
      const x = ones([1]);
      expect(scope(() => x)).toBe(x);
      expect(x.isDisposed).toBe(false);
    });
  });

  test("a throw frees everything and passes through", () => {
    const before = memory();
    const failure = new Error("from inside");
    expect(() =>
      scope(() => {
        scope(() => ones([2]));
        ones([3]);
        throw failure;
      }),
    ).toThrow(failure);
    expect(memory()).toEqual(before);
    // The scope around is the current one again.
    using x = ones([1]);
    expect(x.frame).toBeUndefined();
  });

  test("a promise is refused, by the types and at run time", () => {
    const before = memory();
    const made: Tensor[] = [];
    // @ts-expect-error a body must be synchronous
    expect(() => scope(async () => made.push(ones([1])))).toThrow(TypeError);
    expect(disposed(made)).toEqual([true]);
    expect(memory()).toEqual(before);
  });

  test("more tensors than the list of handles starts with", () => {
    const before = memory();
    scope(() => {
      for (let i = 0; i < 2000; i++) zeros([1]);
    });
    expect(memory()).toEqual(before);
  });
});

describe("single tensors", () => {
  test("keep takes a tensor out of all scopes", () => {
    using kept = scope(() => {
      const box: Tensor[] = [];
      scope(() => {
        const x = ones([2]);
        expect(keep(x)).toBe(x);
        box.push(keep(x));
      });
      return box[0]!;
    });
    expectClose(kept, [1, 1]);
  });

  test("using ends with its block, and disposing again has no effect", () => {
    const before = memory();
    let x: Tensor;
    {
      using inBlock = ones([2]);
      x = inBlock;
    }
    expect(x.isDisposed).toBe(true);
    x.dispose();
    scope(() => {
      const y = ones([2]);
      y.dispose();
      y.dispose();
      expect(memory()).toEqual(before);
      return y;
    });
    expect(memory()).toEqual(before);
  });

  test("use after the end is an error that says so", () => {
    const x = scope(() => [ones([2])])[0]!;
    x.dispose();
    using y = ones([2]);
    const uses = [
      () => x.add(1),
      () => y.add(x),
      () => x.shape,
      () => x.item(),
      () => x.toArray(),
      () => x.backward(),
      () => x.grad,
    ];
    for (const use of uses) {
      expect(use).toThrow(TorchError);
      expect(use).toThrow("the tensor was disposed");
    }
    expect(() => y.add(x)).toThrow("aten::add.Tensor (self Float[2], other disposed): argument 'other': ");
  });

  test("handles are never used again", () => {
    const seen = new Set<number>();
    const stale = ones([1]);
    stale.dispose();
    for (let i = 0; i < 3000; i++) {
      using x = zeros([1]);
      using y = x.neg();
      seen.add(x.handle).add(y.handle);
      expect(stale.isDisposed).toBe(true);
    }
    expect(seen.size).toBe(6000);
    expect(seen.has(stale.handle)).toBe(false);
  });
});

describe("counting", () => {
  test("bytes are those of the storage, shared storage once", () => {
    const before = memory();
    using x = zeros([10, 4], { dtype: "float64" });
    expect(memory()).toEqual({ tensors: before.tensors + 1, bytes: before.bytes + 320 });
    using _view = x.t();
    using _row = x.select(0, 1);
    expect(memory()).toEqual({ tensors: before.tensors + 3, bytes: before.bytes + 320 });
    x.dispose();
    expect(memory()).toEqual({ tensors: before.tensors + 2, bytes: before.bytes + 320 });
  });

  test("1000 iterations of everything leave nothing behind", () => {
    using weight = randn([8, 8]).requiresGrad_();
    using state = zeros([8, 8]);
    weight.grad = state;
    const before = memory();
    for (let i = 0; i < 1000; i++) {
      const loss = scope(() => {
        const x = randn([4, 8]);
        const [left, right] = x.matmul(weight).tanh().chunk(2);
        const value = left!.mul(right!).sum();
        value.backward({ retainGraph: true });
        const [direct] = grad([value], [weight]);
        state.sub_(direct!);
        return value.detach();
      });
      expect(() => loss.view([3])).toThrow();
      noGrad(() => weight.add_(loss, { alpha: 1e-3 }));
      loss.dispose();
    }
    expect(memory()).toEqual(before);
    expectClose(state, zeros([8, 8]), { atol: 1e-3 });
  });
});

test("what autograd captured outlives its scope", () => {
  using x = tensor([1, 2, 3]).requiresGrad_();
  using loss = scope(() => x.exp().square().mul(x.sin()).sum());
  loss.backward();
  using gradient = x.grad!;
  const expected = [1, 2, 3].map((v) => Math.exp(2 * v) * (2 * Math.sin(v) + Math.cos(v)));
  expectClose(gradient, expected, { rtol: 1e-5 });
});

describe("the net under forgotten tensors", () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;

  test("releases what became garbage, and only that", async () => {
    using held = ones([16]);
    (() => {
      for (let i = 0; i < 100; i++) zeros([1000]);
    })();
    expect(memory().tensors).toBeGreaterThan(100);
    // Callbacks run when the event loop turns; a few turns are allowed.
    for (let attempt = 0; attempt < 100 && memory().tensors > 1; attempt++) {
      collectGarbage();
      await setTimeout(5);
    }
    expect(memory()).toEqual({ tensors: 1, bytes: 64 });
    expect(held.isDisposed).toBe(false);
  });

  test("V8 knows the size of tensors outside scopes, as long as they live", () => {
    const external = (): number => native.adjustExternalMemory(0);
    const start = external();
    scope(() => {
      const x = zeros([1 << 20]);
      expect(external() - start).toBeLessThan(1 << 20);
      keep(x);
      expect(external() - start).toBeGreaterThanOrEqual(1 << 22);
      x.dispose();
    });
    expect(external() - start).toBeLessThan(1 << 20);
  });
});

// The sanitizer keeps what is freed, to notice when it is used; without wide vectors there is no such kernel.
const keepsNothing = process.env["TORCH_SANITIZE"] === "1" || engineReport().instructionSet === "baseline";
test.skipIf(process.platform !== "linux" || keepsNothing)(
  "kernels keep their memory until it is to be released",
  () => {
    const transformedWeights = 36 * 512 * 512 * 4;
    const convolve = (): void => {
      scope(() => conv3x3(ones([2, 512, 16, 16]).to({ memoryFormat: "channelsLast" }), ones([512, 512, 3, 3]), null));
    };
    // Anonymous memory: pages of libraries come when they are first used, and stay.
    const resident = (): number =>
      1024 * Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))![1]);
    // The first call also starts what lasts, such as the workspaces of the matrix products.
    convolve();
    const growth = (work: () => void): number => {
      const before = resident();
      work();
      return resident() - before;
    };
    // Other threads of the process allocate meanwhile, such as those of the garbage collector.
    const rounds = [0, 1, 2].map(() => {
      releaseFreeMemory();
      let kept = 0;
      const left = growth(() => {
        kept = growth(convolve);
        releaseFreeMemory();
      });
      return { kept, left };
    });
    expect(Math.max(...rounds.map(({ kept }) => kept))).toBeGreaterThan(transformedWeights);
    expect(Math.min(...rounds.map(({ left }) => left))).toBeLessThan(transformedWeights / 4);
  },
);
