// One of the processes of distributed.test.ts: RANK of SIZE, which meet at PORT (0 for rank 0, which prints the one it took).
import {
  FlatParameters,
  Generator,
  keep,
  Linear,
  Module,
  ProcessGroup,
  randn,
  Store,
  scope,
  tensor,
  Watch,
} from "@stf/torch";

const [rank, size, port] = process.argv.slice(2).map(Number);
const store = new Store({ host: "127.0.0.1", port, isServer: rank === 0 });
if (rank === 0) console.log(store.port);
const watch = new Watch(store, "watch/", rank, size, `words of ${rank}`);
const group = new ProcessGroup(store, { rank, size, backend: "gloo", prefix: "group/", address: "127.0.0.1" });

const sum = tensor([rank + 1, 0.1 * (rank + 1), 1 / (rank + 3)]);
group.allReduce(sum).wait();
const told = tensor([rank]);
group.broadcast(told, 1).wait();
const gathered = group.allGather(tensor(new Uint8Array([rank, 10 * rank]))).map((each) => each.toArray());

class Net extends Module {
  constructor() {
    super();
    this.first = this.registerModule("first", new Linear(16, 64));
    this.unused = this.registerModule("unused", new Linear(64, 64));
    this.last = this.registerModule("last", new Linear(64, 8));
  }
  forward(x) {
    return this.last.forward(this.first.forward(x).relu());
  }
}
const net = new Net();
const flat = new FlatParameters(net);
scope(() => flat.values.copy_(randn([flat.values.numel], { generator: new Generator(3) }).mul(0.1)));
const inputs = keep(randn([12, 16], { generator: new Generator(4) }));
const gradientsOf = (from, to) =>
  scope(() =>
    net
      .forward(inputs.narrow(0, from, to - from))
      .square()
      .sum()
      .backward(),
  );
gradientsOf(0, 12);
const whole = flat.gradients.toFloat32Array();
const buckets = group.buckets(flat, 2000);
const rounds = [];
for (const announced of [true, false]) {
  flat.zeroGrad();
  const [from, to] = [(12 * rank) / size, (12 * (rank + 1)) / size];
  // Two passes per step: only the second completes the gradients.
  gradientsOf(from, from + 1);
  if (announced) buckets.begin();
  gradientsOf(from + 1, to);
  const { sums, backward } = buckets.finish();
  rounds.push({
    gradients: Array.from(flat.gradients.toFloat32Array()),
    early: sums.filter(({ begun }) => begun < backward).length,
  });
}
let words;
do words = watch.state().words;
while (words.includes(""));
// A second process of a rank is not heard, and the first one does not notice.
const second = new Watch(store, "watch/", rank, size, `other words of ${rank}`);
while (!second.state().isDoubled) await new Promise((resolve) => setTimeout(resolve, 20));
second[Symbol.dispose]();
const { isDoubled, failure: before } = watch.state();
if (rank === 1) watch.fail("something broke");
while (watch.state().failure === "") await new Promise((resolve) => setTimeout(resolve, 20));
console.log(
  JSON.stringify({
    sum: sum.toArray(),
    told: told.item(),
    gathered,
    whole: Array.from(whole),
    rounds,
    buckets: buckets.count,
    words,
    before,
    isDoubled,
    failure: watch.state().failure,
  }),
);
// The store lives until nobody needs it.
group.allReduce(tensor([1])).wait();
watch[Symbol.dispose]();
buckets[Symbol.dispose]();
group[Symbol.dispose]();
store[Symbol.dispose]();
