/** The rules of ownership under thousands of random operations, against a model of what must be alive. */

import {
  Adam,
  cat,
  enableGrad,
  FlatParameters,
  grad,
  keep,
  Linear,
  memory,
  noGrad,
  ones,
  scope,
  type Tensor,
  TorchError,
  zeros,
} from "@stf/torch";
import { describe, expect, test } from "vitest";
import { Dice } from "../../../test/mutations.js";
import { expectClose } from "./support.js";

/** Thrown on purpose. */
class Thrown extends Error {}

/** Memory that tensors share. */
interface Storage {
  readonly bytes: number;
}

/** What the model knows of a tensor. */
interface Entry {
  readonly tensor: Tensor;
  readonly storage: Storage;
  /** The level of the scope that frees it; 0 outside all scopes; undefined when it is freed. */
  owner: number | undefined;
}

const FLOAT_BYTES = 4;
const DEEPEST = 7;
/** Freed tensors that are remembered, to be used once more. */
const REMEMBERED = 100;

/** Does random things with tensors, and keeps books. */
class Model {
  readonly #dice: Dice;
  readonly #before = memory();
  readonly #live = new Set<Entry>();
  #freed: Entry[] = [];
  #level = 0;
  operations = 0;

  constructor(seed: number) {
    this.#dice = new Dice(seed);
  }

  /** The engine's counters and every single tensor agree with the books. */
  check(): void {
    const storages = new Set([...this.#live].map(({ storage }) => storage));
    const bytes = [...storages].reduce((sum, storage) => sum + storage.bytes, 0);
    expect(memory()).toEqual({ tensors: this.#before.tensors + this.#live.size, bytes: this.#before.bytes + bytes });
    for (const { tensor } of this.#live) if (tensor.isDisposed) expect.fail("a tensor was freed too early");
    for (const { tensor } of this.#freed) if (!tensor.isDisposed) expect.fail("a tensor was not freed");
  }

  #enter(tensor: Tensor, storage: Storage = { bytes: FLOAT_BYTES * tensor.numel }): Entry {
    const entry = { tensor, storage, owner: this.#level };
    this.#live.add(entry);
    return entry;
  }

  #free(entry: Entry): void {
    entry.owner = undefined;
    this.#live.delete(entry);
    this.#freed.push(entry);
    if (this.#freed.length > 2 * REMEMBERED) this.#freed = this.#freed.slice(-REMEMBERED);
  }

  #any(): Entry {
    return this.#live.size === 0 ? this.#make() : this.#dice.pick([...this.#live]);
  }

  #make(): Entry {
    const shape = [1 + this.#dice.below(4), 1 + this.#dice.below(5)];
    return this.#enter(this.#dice.once(2) ? ones(shape) : zeros(shape));
  }

  /** Runs `operations` operations outside all scopes, and frees what is left. */
  run(operations: number): void {
    for (const end = this.operations + operations; this.operations < end; ) {
      this.#step();
      expect(scope(() => ones([1]).requiresGrad_().neg().requiresGrad)).toBe(true);
      // What is kept may not pile up: the model would only get slower.
      while (this.#live.size > 60) this.#dispose(this.#any());
    }
    for (const entry of [...this.#live]) this.#dispose(entry);
    this.check();
    expect(memory()).toEqual(this.#before);
  }

  #step(): void {
    this.operations++;
    const steps = this.#steps();
    steps[this.#dice.below(steps.length)]!();
    if (this.#dice.once(20)) this.check();
  }

  #steps(): (() => void)[] {
    return [
      () => void this.#make(),
      () => void this.#enter(this.#any().tensor.add(1)),
      () => this.#view(),
      () => this.#inPlace(),
      () => this.#keep(this.#any()),
      () => this.#dispose(this.#any()),
      () => this.#useAfterTheEnd(),
      () => this.#failInside(),
      () => this.#differentiate(),
      () => this.#module(),
      () => this.#promise(),
      ...Array.from({ length: 5 }, () => () => this.#scope()),
    ];
  }

  #view(): void {
    const { tensor, storage } = this.#any();
    // Detached: libtorch has rules of its own for views that autograd knows.
    this.#enter(this.#dice.once(2) ? scope(() => tensor.detach().transpose(0, -1)) : tensor.detach(), storage);
  }

  #inPlace(): void {
    const { tensor } = this.#any();
    expect(noGrad(() => tensor.mul_(0.5))).toBe(tensor);
  }

  #keep(entry: Entry): void {
    expect(keep(entry.tensor)).toBe(entry.tensor);
    entry.owner = 0;
  }

  #dispose(entry: Entry): void {
    for (let times = this.#dice.below(3); times >= 0; times--) entry.tensor.dispose();
    this.#free(entry);
  }

  #useAfterTheEnd(): void {
    const freed = this.#freed.at(-1)?.tensor;
    if (!freed) return;
    const { tensor } = this.#any();
    const use = this.#dice.pick([
      () => freed.add(1),
      () => tensor.add(freed),
      () => cat([tensor, freed]),
      () => freed.shape,
      () => freed.toFloat32Array(),
      () => freed.backward(),
      () => grad([tensor], [freed]),
    ]);
    expect(use).toThrow("the tensor was disposed");
    // Neither brings it back.
    keep(freed);
    freed.dispose();
    expect(scope(() => freed)).toBe(freed);
  }

  #failInside(): void {
    // libtorch takes milliseconds to describe the place of a failure.
    if (!this.#dice.once(5)) return;
    const { tensor } = this.#any();
    expect(() => tensor.view([17, 19])).toThrow(TorchError);
    expect(() => cat([tensor, tensor], 5)).toThrow(TorchError);
  }

  /** The graph outlives the scope that it was recorded in; gradients are new handles. */
  #differentiate(): void {
    const factor = 1 + this.#dice.below(9);
    const leaf = this.#enter(ones([3]));
    leaf.tensor.requiresGrad_();
    const loss = this.#enter(enableGrad(() => scope(() => leaf.tensor.mul(factor).exp().log().square().sum())));
    if (this.#dice.once(3)) {
      const [direct] = grad([loss.tensor], [leaf.tensor]);
      expectClose(
        this.#enter(direct!).tensor,
        Array.from({ length: 3 }, () => 2 * factor ** 2),
      );
      return;
    }
    if (this.#dice.once(2)) this.#dispose(loss);
    else loss.tensor.backward();
    const { grad: gradient } = leaf.tensor;
    expect(gradient === null).toBe(loss.owner === undefined);
    if (gradient)
      expectClose(
        this.#enter(gradient).tensor,
        Array.from({ length: 3 }, () => 2 * factor ** 2),
      );
    leaf.tensor.requiresGrad_(false);
  }

  /** A network, its optimizer and a step: they hold what they register, wherever they are made, until they are disposed. */
  #module(): void {
    if (!this.#dice.once(10)) return;
    const before = memory().tensors;
    const network = scope(() => new Linear(3, 4));
    const flat = scope(() => new FlatParameters(network));
    const optimizer = scope(() => new Adam(flat));
    const thrown = this.#dice.once(2);
    const step = (): void =>
      scope(() => {
        enableGrad(() =>
          network
            .forward(ones([2, 3]))
            .square()
            .mean(),
        ).backward();
        if (thrown) throw new Thrown();
        optimizer.step(0.1);
      });
    if (thrown) expect(step).toThrow(Thrown);
    else step();
    expect(memory().tensors).toBeGreaterThan(before);
    optimizer.dispose();
    flat.dispose();
    network.dispose();
    expect(memory().tensors).toBe(before);
  }

  /** A body that returns a promise is refused, and what it made before its first `await` is freed. */
  #promise(): void {
    const made: Tensor[] = [];
    const body = async (): Promise<void> => {
      made.push(ones([2]));
      await undefined;
    };
    const refused = this.#dice.pick([scope, noGrad, enableGrad]) as (body: () => unknown) => unknown;
    expect(() => scope(() => void refused(body))).toThrow(TypeError);
    expect(made[0]!.isDisposed).toBe(true);
  }

  /** A scope with random things inside, that returns some tensors in some form, or throws. */
  #scope(): void {
    if (this.#level >= DEEPEST) return;
    const returned: Entry[] = [];
    const outer = this.#level;
    const throws = this.#dice.once(4);
    const throughAll = this.#dice.once(4);
    const body = (): unknown => {
      this.#level = outer + 1;
      for (let count = this.#dice.below(8); count >= 0; count--) this.#step();
      if (throws) throw new Thrown();
      for (let count = this.#dice.below(4); count > 0; count--) returned.push(this.#any());
      return this.#wrapped(returned.map(({ tensor }) => tensor));
    };
    let thrown: unknown;
    try {
      scope(() => (this.#dice.once(2) ? body() : noGrad(body)));
    } catch (error) {
      thrown = error;
    }
    this.#level = outer;
    for (const entry of this.#live) {
      if ((entry.owner ?? 0) <= outer) continue;
      if (thrown === undefined && returned.includes(entry)) entry.owner = outer;
      else this.#free(entry);
    }
    this.check();
    if (thrown === undefined) return;
    if (!(thrown instanceof Thrown)) throw thrown;
    // Sometimes the scope around has to end by the same error.
    if (throughAll && outer > 0) throw thrown;
  }

  #wrapped(tensors: readonly Tensor[]): unknown {
    const [first, ...rest] = tensors;
    return this.#dice.pick<() => unknown>([
      () => (rest.length > 0 ? tensors : first),
      () => ({ first, rest: { list: rest } }),
      () =>
        new Map<string, unknown>([
          ["first", [first]],
          ["rest", rest.map((tensor) => ({ tensor, again: [tensor] }))],
        ]),
      () => Object.assign(Object.create(null), { first, rest }),
    ])();
  }
}

const SEEDS = Array.from({ length: 8 }, (_, i) => i + 1);

test.each(SEEDS)("random operations keep to the books, seed %i", (seed) => {
  new Model(seed).run(4000);
});

test("what a refused body does after its await is outside every scope, whichever is open by then", async () => {
  const before = memory();
  const late: Tensor[] = [];
  const errors: unknown[] = [];
  const finished: Promise<void>[] = [];
  const body = async (): Promise<void> => {
    const early = ones([2]);
    await undefined;
    late.push(zeros([3]));
    try {
      early.add(1);
    } catch (error) {
      errors.push(error);
    }
  };
  for (let i = 0; i < 1000; i++) {
    const run = (() => {
      finished.push(body());
      return finished.at(-1);
    }) as () => unknown;
    expect(() => scope(() => scope(run))).toThrow(TypeError);
    expect(memory()).toEqual(before);
  }
  await Promise.all(finished);
  expect(late.every(({ frame, isDisposed }) => frame === undefined && !isDisposed)).toBe(true);
  expect(errors).toHaveLength(1000);
  for (const error of errors) expect(error).toBeInstanceOf(TorchError);
  for (const tensor of late) tensor.dispose();
  expect(memory()).toEqual(before);
});

/** The sanitizers keep freed memory for a while, to notice that it is used. */
const countsMemory = process.env["TORCH_SANITIZE"] !== "1";

describe.runIf(countsMemory)("the process stays as small as it was", () => {
  const MEBIBYTE = 2 ** 20;

  /** Repeats work that uses and frees memory, and returns by how many bytes the process has grown after the first tenth. */
  function growth(repetitions: number, work: (repetition: number) => void): number {
    let start = 0;
    for (let i = 0; i < repetitions; i++) {
      if (i === Math.floor(repetitions / 10)) start = process.memoryUsage.rss();
      work(i);
    }
    return process.memoryUsage.rss() - start;
  }

  test("after 20 GiB of tensors in scopes, half of which throw", () => {
    const grown = growth(5000, (i) => {
      try {
        scope(() => {
          const [left, right] = ones([MEBIBYTE]).chunk(2);
          left!.requiresGrad_();
          if (i % 2 === 0) throw new Thrown();
          left!.mul(right!).sum().backward();
        });
      } catch (error) {
        if (!(error instanceof Thrown)) throw error;
      }
    });
    expect(grown).toBeLessThan(64 * MEBIBYTE);
  });

  test("after three thousand calls that fail", () => {
    using x = ones([100, 100]);
    using freed = ones([1]);
    freed.dispose();
    const calls = [() => x.view([3]), () => cat([x, freed]), () => x.matmul(x.narrow(0, 0, 99)), () => grad([x], [x])];
    const grown = growth(3000, (i) => {
      scope(() => expectFailure(calls[i % calls.length]!));
    });
    expect(grown).toBeLessThan(16 * MEBIBYTE);
  });

  test("after a hundred thousand random operations", () => {
    const grown = growth(50, (seed) => new Model(100 + seed).run(2000));
    expect(grown).toBeLessThan(64 * MEBIBYTE);
  });
});

/** Cheaper than `expect().toThrow`, which is for few calls. */
function expectFailure(call: () => unknown): void {
  try {
    call();
  } catch (error) {
    if (error instanceof TorchError) return;
    throw error;
  }
  expect.fail("the call succeeded");
}
