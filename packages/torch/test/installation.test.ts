/** Where libtorch is found and what it can do, on folders laid out as Debian's packages and Python's wheels are. */

import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { hasGloo, hasNccl, openBlasThreads } from "@stf/torch/installation";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { findCudaCompiler } from "../tools/find-cuda.mjs";
import { findLibtorch, type Libtorch } from "../tools/find-libtorch.mjs";

const root = mkdtempSync(join(tmpdir(), "installation-"));
afterAll(() => rmSync(root, { recursive: true }));

let site: string;
let wheel: string;
beforeEach(() => {
  site = mkdtempSync(join(root, "site-packages-"));
  wheel = join(site, "torch");
  put("torch/include/ATen/ATen.h");
  put("torch/include/torch/csrc/api/include/torch/all.h", "#error C++17 or later compatible compiler is required");
  put("torch/include/torch/csrc/distributed/c10d/ProcessGroupGloo.hpp");
  put("torch/include/torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp");
  put("torch/lib/libtorch_cpu.so");
  put("torch/lib/libtorch_python.so");
  put("torch/version.py", "__version__ = '2.6.0'\ncuda: Optional[str] = None\n");
});

function put(path: string, text = ""): string {
  const full = join(site, path);
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, text);
  return full;
}

const named = (): Libtorch => findLibtorch({ LIBTORCH: wheel }).libtorch!;

describe.skipIf(process.platform === "darwin")("a wheel", () => {
  test("is found through LIBTORCH", () => {
    expect(named()).toMatchObject({
      origin: "LIBTORCH",
      version: "2.6.0",
      cuda: false,
      cxxStandard: "17",
      includeDirs: [join(wheel, "include"), join(wheel, "include/torch/csrc/api/include")],
      libraryDir: join(wheel, "lib"),
    });
  });

  test("is found through PYTHON", () => {
    const python = put("python", `#!/bin/sh\necho ${wheel}\n`);
    chmodSync(python, 0o755);
    expect(findLibtorch({ PYTHON: python, PATH: "" }).libtorch).toMatchObject({ origin: "python", prefix: wheel });
  });

  test("asks for the C++ that its headers ask for", () => {
    put("torch/include/torch/csrc/api/include/torch/all.h", "#error C++14 or later compatible compiler is required");
    expect(named().cxxStandard).toBe("17");
    put("torch/include/torch/csrc/api/include/torch/all.h", "#error C++20 or later compatible compiler is required");
    expect(named().cxxStandard).toBe("20");
  });

  test("must be recent, and whole", () => {
    put("torch/version.py", "__version__ = '1.12.1+cpu'");
    expect(named).toThrow("libtorch 1.12.1+cpu, but 1.13 or later is needed");
    rmSync(join(wheel, "lib/libtorch_cpu.so"));
    expect(named).toThrow(`no ${join(wheel, "lib/libtorch_cpu.so")}`);
  });

  test("has Gloo inside, and often not its headers", () => {
    expect(hasGloo(named())).toBe(false);
    put("torch/include/gloo/context.h");
    expect(hasGloo(named())).toBe(true);
    rmSync(join(wheel, "lib/libtorch_python.so"));
    expect(hasGloo(named())).toBe(false);
    put("torch/lib/libgloo.so");
    expect(hasGloo(named())).toBe(true);
  });

  test("has NCCL where it has CUDA, and the headers of both lie beside it", () => {
    const headers = ["nvidia/nccl/include/nccl.h", "nvidia/cuda_runtime/include/cuda_runtime.h"] as const;
    headers.map((path) => put(path));
    expect(named()).toMatchObject({ cuda: false, cudaIncludeDirs: [] });
    expect(hasNccl(named())).toBe(false);
    put("torch/lib/libtorch_cuda.so");
    expect(hasNccl(named())).toBe(true);
    for (const path of ["torch/include/torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp", ...headers]) {
      rmSync(join(site, path));
      // A toolkit of this machine must not stand in for what was taken away.
      const cudaIncludeDirs = named().cudaIncludeDirs.filter((folder) => folder.startsWith(root));
      expect(hasNccl({ ...named(), cudaIncludeDirs }), path).toBe(false);
      put(path);
    }
  });
});

test("OpenBLAS on OpenMP is preferred to the one with threads of its own", () => {
  const libtorch = { ...named(), libraryDir: join(site, "lib") };
  expect(openBlasThreads(libtorch)).toBeUndefined();
  put("lib/openblas-pthread/libblas.so.3");
  expect(openBlasThreads(libtorch)).toBe("own");
  put("lib/openblas-openmp/libblas.so.3");
  expect(openBlasThreads(libtorch)).toBe("openmp");
});

test("nvcc is tried unless it is known to compile here", () => {
  const nvcc = put("bin/nvcc");
  const tries = put("tries");
  const installed = (release: string): void =>
    writeFileSync(nvcc, `#!/bin/sh\nif [ $1 = --version ]; then echo release ${release}; else echo >> ${tries}; fi\n`);
  installed("12.1");
  chmodSync(nvcc, 0o755);
  put("include/cuda_runtime_api.h");
  const find = (known?: string) =>
    findCudaCompiler(
      { prefix: site, version: "2.4.0+cu121", cuda: true },
      { PATH: "", CUDA_HOME: site },
      (compiler) => JSON.stringify(compiler) === known,
    );
  const timesTried = (): number => readFileSync(tries, "utf8").length;
  const first = find();
  expect(first).toMatchObject({ path: nvcc, includeDir: join(site, "include") });
  expect(timesTried()).toBe(1);
  expect(find(JSON.stringify(first))).toEqual(first);
  expect(timesTried()).toBe(1);
  installed("12.4");
  expect(find(JSON.stringify(first))).not.toEqual(first);
  expect(timesTried()).toBe(2);
});
