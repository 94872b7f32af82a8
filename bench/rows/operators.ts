/** The overhead of an operator call. */

import { ones, scope, type Tensor, timeOperator } from "@stf/torch";
import { type Benchmark, compare, type Opponent, type Unit } from "../benchmark.js";
import { time } from "../measure.js";

const COUNT = 20_000;
/** Results live until their scope ends. */
const CALLS_PER_SCOPE = 100;

const perCall: Unit = { name: "us", show: (seconds) => 1e6 * seconds };

interface Case {
  readonly what: string;
  readonly operator: string;
  /** Name of the operator in C++. */
  readonly values: (a: Tensor) => Tensor[];
  readonly once: (a: Tensor) => void;
  /** The equivalent command of the peer. */
  readonly command?: string;
}

const cases: readonly Case[] = [
  {
    what: "add of [4, 4]",
    operator: "aten::add.Tensor",
    values: (a) => [a, a],
    once: (a) => void a.add(a),
    command: "add",
  },
  {
    what: "in place, mul_ of [4, 4]",
    operator: "aten::mul_.Tensor",
    values: (a) => [a, a],
    once: (a) => void a.mul_(a),
  },
  {
    what: "of no work, is_floating_point",
    operator: "aten::is_floating_point",
    values: (a) => [a],
    once: (a) => void a.isFloatingPoint(),
  },
];

export const operatorBenchmarks: readonly Benchmark[] = cases.map(({ what, operator, values, once, command }) => ({
  section: "Operator calls",
  name: `operator call, ${what}`,
  isShort: true,
  async run(bench) {
    using a = ones([4, 4]);
    const { pytorch } = bench;
    const against: (Opponent | undefined)[] = [
      { what: "the same boxed call from C++", cost: () => timeOperator(operator, COUNT, ...values(a)) / COUNT },
      pytorch && command !== undefined
        ? { what: "PyTorch from Python", cost: () => pytorch.call<number>(command, { count: COUNT }) }
        : undefined,
    ];
    const ours = (): number =>
      time(() => {
        for (let i = 0; i < COUNT; i += CALLS_PER_SCOPE) {
          scope(() => {
            for (let j = 0; j < CALLS_PER_SCOPE; j++) once(a);
          });
        }
      }) / COUNT;
    return await compare(bench, { unit: perCall, ours, against });
  },
}));
