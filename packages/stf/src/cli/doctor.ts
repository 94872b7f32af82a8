/** `stf doctor`: what this machine has, and for everything that is wrong the remedy. */

import { existsSync } from "node:fs";

const REPORT_WIDTH = 12;

function line(label: string, value: string): void {
  console.log(`${label.padEnd(REPORT_WIDTH)}${value}`);
}

/** Runs the command. Returns the exit code: 1 when something is missing that training needs. */
export async function doctor(): Promise<number> {
  const major = Number(process.versions.node.split(".")[0]);
  line("Node", `${process.versions.node}${major < 20 ? "  PROBLEM: 20 or later is needed" : ""}`);
  const healthy = major >= 20;
  try {
    const { engineReport, scope, tensor } = await import("@stf/torch");
    const report = engineReport();
    line("addon", report.addonPath);
    line("libtorch", report.version);
    line(
      "processor",
      `${report.cpuCapability} kernels, ${report.threads} threads, oneDNN ${report.oneDnn ? "yes" : "no"}`,
    );
    const halves = {
      amx: "multiplied by the processor (AMX): --precision=bf16 is the fastest",
      avx512: "computed by the processor (AVX-512)",
      emulated: "not in this processor: --precision=bf16 works, but fp32 is faster here",
    };
    line("bfloat16", halves[report.bfloat16]);
    const cuda = report.cudaBuilt ? `${report.cudaDevices} device(s)` : "this libtorch was built without it";
    line("CUDA", cuda);
    line(
      "test",
      scope(() => tensor([1, 2]).add(1).sum().item()) === 5 ? "1 + 2 + 2 = 5" : "PROBLEM: libtorch cannot add",
    );
  } catch (error) {
    line("libtorch", `PROBLEM: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
  const images = "/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz";
  line(
    "data",
    existsSync(images) ? images : "Fashion-MNIST is not installed; on Debian: apt-get install dataset-fashion-mnist",
  );
  return healthy ? 0 : 1;
}
