/**
 * Wrote random.safetensors: random numbers of PyTorch 1.13.1 on a CPU with AVX2, for torch.Generator().manual_seed(12345).
 * A name is the call: randn_64 is torch.randn(64, generator=g) on a fresh generator, randint_minus5_to_7_20 is
 * torch.randint(-5, 7, (20,), generator=g), randn_21_calls_of_3 is 21 calls in a row, and the calls mix_0 to mix_7 follow
 * each other on one generator. The tensors come out of a larger file, whose names start with "s12345.":
 *
 *     node packages/torch/test/golden/random.mjs <larger file>
 */

import { fileURLToPath } from "node:url";
import { loadSafetensors, saveSafetensors } from "@stf/torch";

const prefix = "s12345.";
const [source] = process.argv.slice(2);
const { tensors } = loadSafetensors(source, (name) => name.startsWith(prefix));
const renamed = new Map([...tensors].map(([name, tensor]) => [name.slice(prefix.length), tensor]));
const target = fileURLToPath(new URL("random.safetensors", import.meta.url));
saveSafetensors(target, renamed, { origin: "PyTorch 1.13.1, CPU, AVX2", seed: "12345" });
