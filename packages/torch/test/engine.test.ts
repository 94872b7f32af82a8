import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import {
  catchInterrupts,
  engineReport,
  hasOperator,
  interrupt,
  isOutOfMemory,
  ones,
  operatorSchemas,
  profileOperators,
  scope,
  setThreads,
  TorchError,
} from "@stf/torch";
import { addonPath } from "@stf/torch/installation";
import { expect, test } from "vitest";

test("the report describes this libtorch", () => {
  const report = engineReport();
  expect(report.version).toMatch(/^\d+\.\d+\.\d+/);

  expect(report.cpuCapability).not.toBe("unknown");
  const { threads } = report;
  setThreads(1);
  expect(engineReport().threads).toBe(1);
  setThreads(threads);
  expect(engineReport().threads).toBe(threads);
});

test("operators are known by name and overload", () => {
  expect([hasOperator("aten::add.Tensor"), hasOperator("aten::neg"), hasOperator("aten::add.None")]).toEqual([
    true,
    true,
    false,
  ]);
  expect(operatorSchemas()).toContain("aten::neg(Tensor self) -> Tensor");
});

/** Waits until `condition` holds, for at most a second. */
async function until(condition: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 100 && !condition(); attempt++) await setTimeout(10);
}

test.each(["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"] as const)(
  "%s is noted while caught, and then goes where it went",
  async (signal) => {
    let arrived = 0;
    const listener = (): number => arrived++;
    process.on(signal, listener);
    try {
      for (const round of [1, 2]) {
        catchInterrupts(true);
        catchInterrupts(true);
        expect(interrupt()).toBeUndefined();
        process.kill(process.pid, signal);
        await until(() => interrupt() !== undefined);
        expect([interrupt(), arrived]).toEqual([signal, round - 1]);
        catchInterrupts(false);
        process.kill(process.pid, signal);
        await until(() => arrived === round);
        expect([interrupt(), arrived]).toEqual([signal, round]);
      }
    } finally {
      catchInterrupts(false);
      process.off(signal, listener);
    }
  },
);

test("SIGHUP stays where it was when hangups are not asked for", async () => {
  let arrived = 0;
  const listener = (): number => arrived++;
  process.on("SIGHUP", listener);
  try {
    catchInterrupts(true, { hangups: false });
    process.kill(process.pid, "SIGHUP");
    await until(() => arrived === 1);
    expect([interrupt(), arrived]).toEqual([undefined, 1]);
  } finally {
    catchInterrupts(false);
    process.off("SIGHUP", listener);
  }
});

test("want of memory is told from other failures", () => {
  const caught = (body: () => unknown): unknown => {
    try {
      return body();
    } catch (error) {
      return error;
    }
  };
  // 2 ** 52 bytes: more than any processor can address.
  expect(isOutOfMemory(caught(() => ones([2 ** 50])))).toBe(true);
  expect(isOutOfMemory(caught(() => new ArrayBuffer(2 ** 52)))).toBe(true);
  expect(isOutOfMemory(new TorchError("CUDA out of memory. Tried to allocate 2.00 GiB"))).toBe(true);
  expect(isOutOfMemory(new TorchError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))).toBe(true);
  expect(isOutOfMemory(caught(() => ones([2]).add(ones([3]))))).toBe(false);
  expect(isOutOfMemory(new Error("out of memory"))).toBe(false);
});

test("a second thread is refused: the tables of tensors are not locked", async () => {
  const worker = new Worker(`require(${JSON.stringify(addonPath)})`, { eval: true });
  const [error] = (await once(worker, "error")) as [Error];
  expect(error.message).toMatch(/another thread/);
  expect(scope(() => ones([3]).sum().item())).toBe(3);
});

test("a profile counts each operator once, in forward and backward passes, and without those it calls", () => {
  using x = ones([4, 4]).requiresGrad_();
  const profile = (): ReturnType<typeof profileOperators> =>
    profileOperators(() => scope(() => x.softmax(0).softmax(1).sum().backward()));
  const start = performance.now();
  const costs = profile();
  const elapsed = (performance.now() - start) / 1000;
  const callsOf = (name: string): number | undefined => costs.find((cost) => cost.name === name)?.calls;
  expect([callsOf("aten::softmax"), callsOf("aten::_softmax"), callsOf("aten::_softmax_backward_data")]).toEqual([
    2, 2, 2,
  ]);
  // Own seconds add up to no more than the time that passed.
  expect(costs.reduce((sum, { seconds }) => sum + seconds, 0)).toBeLessThan(elapsed);
  expect(costs.map(({ seconds }) => seconds)).toEqual(costs.map(({ seconds }) => seconds).sort((a, b) => b - a));
  // Profiles do not nest, and a failure inside ends one.
  expect(() => profileOperators(() => void profile())).toThrow(/being taken/);
  expect(callsOf("aten::softmax")).toBe(profile().find(({ name }) => name === "aten::softmax")?.calls);
});
