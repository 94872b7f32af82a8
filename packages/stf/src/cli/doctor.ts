/** `stf doctor`: what this machine has, and a remedy for each problem. */

import { existsSync } from "node:fs";
import {
  addonPath,
  type BuiltAgainst,
  bfloat16Support,
  builtAgainst,
  hasGloo,
  hasNccl,
  isAddonBuilt,
  openBlasThreads,
} from "@stf/torch/installation";
import { isTooOld, OLDEST_NODE } from "../common/node-version.js";
import { fashionMnist } from "../config/train-options.js";

/** One line of the report; a problem comes with a remedy. */
interface Finding {
  readonly label: string;
  readonly value: string;
  readonly remedy?: string | false;
  /** A problem that does not prevent training. */
  readonly minor?: boolean;
}

function nodeFinding(): Finding {
  const version = process.versions.node;
  return { label: "Node", value: version, remedy: isTooOld(version) && `install Node ${OLDEST_NODE} or later` };
}

function libtorchFinding(built: BuiltAgainst | undefined): Finding {
  if (!built) {
    return {
      label: "libtorch",
      value: "none found yet",
      remedy: 'run "npm run setup" in the project\'s folder; it says what to install and where it searches',
    };
  }
  const missing = !existsSync(built.libraryDir);
  return {
    label: "libtorch",
    value: `${built.version}, ${built.how}, libraries in ${built.libraryDir}`,
    remedy: missing && 'that folder is missing: install libtorch again or set LIBTORCH, then run "npm run setup"',
  };
}

async function engineFindings(): Promise<Finding[]> {
  if (!isAddonBuilt()) {
    return [
      { label: "addon", value: `not built (${addonPath})`, remedy: 'run "npm run setup" in the project\'s folder' },
    ];
  }
  try {
    const { engineReport, scope, tensor } = await import("@stf/torch");
    const report = engineReport();
    const sum = scope(() => tensor([1, 2]).add(1).sum().item());
    return [
      { label: "addon", value: addonPath, remedy: sum !== 5 && "libtorch computes wrong sums: reinstall it" },
      { label: "processor", value: `libtorch uses ${report.cpuCapability}, oneDNN ${report.oneDnn ? "yes" : "no"}` },
      { label: "kernels", value: `our own use ${report.instructionSet} (TORCH_INSTRUCTION_SET changes it)` },
      { label: "threads", value: `${report.threads} (OMP_NUM_THREADS changes it)` },
      cudaFinding(report.cudaBuilt, report.cudaDevices),
    ];
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [{ label: "addon", value: addonPath, remedy: reason }];
  }
}

function cudaFinding(built: boolean, devices: number): Finding {
  if (!built)
    return { label: "CUDA", value: "no: this libtorch is for processors only; set LIBTORCH to a CUDA one for a GPU" };
  return {
    label: "CUDA",
    value: `${devices} ${devices === 1 ? "device" : "devices"}`,
    remedy: devices === 0 && "libtorch has CUDA but finds no device: check the driver with nvidia-smi",
    minor: true,
  };
}

function bfloat16Finding(): Finding {
  const meanings = {
    amx: "matrix units in the processor (AMX): --precision=bf16 is the fastest",
    avx512: "native on the processor (AVX-512): compare --precision=bf16 with fp32",
    emulated: "emulated on this processor: --precision=bf16 works, fp32 is faster",
  };
  return { label: "bfloat16", value: meanings[bfloat16Support()] };
}

function glooFinding(built: BuiltAgainst): Finding {
  const found = hasGloo(built);
  return {
    label: "Gloo",
    value: found ? "yes" : "no",
    remedy:
      !found &&
      (built.origin === "system"
        ? "several processes need it; on Debian: apt-get install libgloo-dev"
        : "several processes need it, and this libtorch has no Gloo headers; Debian's does"),
    minor: true,
  };
}

function ncclFinding(built: BuiltAgainst): Finding {
  const found = hasNccl(built);
  return {
    label: "NCCL",
    value: found ? "yes" : "no",
    remedy: !found && built.cuda && "several GPUs need its headers and CUDA's: install nvidia-nccl and a CUDA toolkit",
    minor: true,
  };
}

/** Only for Debian's libtorch, whose matrix products come from a separate OpenBLAS. */
function openBlasFindings(built: BuiltAgainst): Finding[] {
  const threads = openBlasThreads(built);
  if (built.origin !== "system" || threads === undefined) return [];
  return [
    {
      label: "OpenBLAS",
      value: threads === "openmp" ? "on OpenMP, like libtorch" : "with its own threads, which compete with libtorch's",
      remedy:
        threads === "own" &&
        'matrix products take up to twice as long: apt-get install libopenblas0-openmp, then run "npm run setup"',
      minor: true,
    },
  ];
}

function dataFinding(): Finding {
  const path = fashionMnist;
  const found = existsSync(path);
  return {
    label: "data",
    value: found ? path : "Fashion-MNIST is not installed",
    remedy: !found && "on Debian: apt-get install dataset-fashion-mnist; elsewhere give your own images with --data",
    minor: true,
  };
}

/** Runs the command. Returns the exit code: 1 when something needed for training is missing. */
export async function doctor(): Promise<number> {
  const built = builtAgainst();
  const findings = [
    nodeFinding(),
    libtorchFinding(built),
    ...(await engineFindings()),
    bfloat16Finding(),
    ...(built ? [...openBlasFindings(built), glooFinding(built), ncclFinding(built)] : []),
    dataFinding(),
  ];
  for (const { label, value, remedy } of findings) {
    console.log(`${label.padEnd(11)}${value}`);
    if (remedy) console.log(`${"".padEnd(11)}PROBLEM: ${remedy}`);
  }
  return findings.some(({ remedy, minor }) => remedy && !minor) ? 1 : 0;
}
