#!/usr/bin/env bash
# Tests and measures stf on a GPU, on a machine that is available only for minutes and has neither network nor Node. Needs
# a Python with torch, CMake, xz and a compiler. From a folder with the archive of bench/gpu-pack.mjs:
#
#     tar xf stf-gpu.tar && bash packed/gpu.sh [--parts=1,2,3,4,5] [--device=cuda] [--out=results]
#
#   1  doctor, and the operators of @stf/torch on the device against the CPU
#   2  training steps, targets, samplers and likelihoods of stf on the device against the CPU
#   3  speed and memory against PyTorch and the published code, and against the limits of the chip
#   4  a training run of two minutes, its pictures, and likelihoods of its network
#   5  the time of a training step, operator by operator
#
# Each step has its own time limit, a log, and a line in results.jsonl that is written as soon as it ends, so that an interrupted
# run keeps its results. PYTHON names the Python, python3 by default; STF_GPU_SECONDS is the limit of part 3, STF_GPU_MINUTES the
# length of the training run in part 4.
set -u
parts=1,2,3,4,5 device=cuda out=results
for argument in "$@"; do
  case "$argument" in
    --parts=*) parts="${argument#*=}" ;;
    --device=*) device="${argument#*=}" ;;
    --out=*) out="${argument#*=}" ;;
    *) echo "gpu.sh: found $argument; there are --parts=1,2,3,4,5, --device=cuda|cpu, --out=DIR" >&2; exit 2 ;;
  esac
done
packed="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
work="$(dirname "$packed")/stf"
mkdir -p "$out" "$work"
out="$(cd "$out" && pwd)"
failures=0
summary="$out/summary.txt"
: > "$summary"
: > "$out/results.jsonl"

# step PART NAME SECONDS COMMAND...: its log's last telling line goes into the table.
step() {
  local part="$1" name="$2" limit="$3" begin="$SECONDS" status log says
  shift 3
  case ",$parts," in *",$part,"*) ;; *) [ "$part" = 0 ] || return 0 ;; esac
  log="$out/$part-${name// /-}.log"
  timeout --kill-after=5 "$limit" "$@" > "$log" 2>&1 < /dev/null
  status=$?
  says="$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -a '[[:alnum:]]' | tail -n 1 | LC_ALL=C tr -cd '\40-\176' | tr -d '"\\' | cut -c1-120)"
  printf '{"part":%s,"name":"%s","seconds":%s,"limit":%s,"exit":%s,"says":"%s"}\n' \
    "$part" "$name" "$((SECONDS - begin))" "$limit" "$status" "$says" >> "$out/results.jsonl"
  case "$status" in 0) word=passed ;; 124 | 137) word="cut off" ;; *) word=failed ;; esac
  [ "$status" = 0 ] || failures=$((failures + 1))
  printf '%s  %-34s %-8s %4s s  %s\n' "$part" "$name" "$word" "$((SECONDS - begin))" "$says" | tee -a "$summary"
  return "$status"
}

# What an earlier archive, or half an unpacking, has left is not what is asked about.
if ! cmp -s "$packed/project.tar.xz" "$work/.unpacked"; then
  rm -rf "$work" && mkdir -p "$work"
  for archive in project npm; do
    xz --decompress --stdout "$packed/$archive.tar.xz" | tar xf - -C "$work" || exit 1
  done
  cp "$packed/project.tar.xz" "$work/.unpacked"
fi
if ! node -e 'process.exit(require("zlib").crc32 ? 0 : 1)' 2> /dev/null; then
  mkdir -p "$packed/bin"
  xz --decompress --stdout "$packed/node.xz" > "$packed/bin/node" && chmod +x "$packed/bin/node" || exit 1
  PATH="$packed/bin:$PATH"
fi
if [ -e "$packed/published.tar.xz" ]; then
  mkdir -p "$packed/published" && tar xf "$packed/published.tar.xz" -C "$packed/published"
  export STF_BENCH_PUBLISHED="$packed/published"
fi
images="$(ls "$packed"/images-* | head -n 1)"
PYTHON="$(command -v "${PYTHON:-python3}")" || { echo "gpu.sh: PYTHON must name a Python with torch, found ${PYTHON:-none}" >&2; exit 2; }
PYTHON="$(cd "$(dirname "$PYTHON")" && pwd)/$(basename "$PYTHON")"
cd "$work" || exit 1
export PYTHON STF_TEST_DEVICE="$device" STF_TEST_COMPILED=1 CI=true NO_COLOR=1
export STF_BENCH_PYTHON="$PYTHON" CMAKE_BUILD_PARALLEL_LEVEL="${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"
command -v ninja > /dev/null && export CMAKE_GENERATOR=Ninja
stf=packages/stf/bin/stf.js

step 0 "build of the addon" 600 node packages/torch/tools/build-native.mjs || { cat "$out/0-build-of-the-addon.log"; exit 1; }
step 1 doctor 60 node "$stf" doctor
step 1 "operators" 120 node node_modules/vitest/vitest.mjs run packages/torch/test/device
step 2 "networks targets samplers" 150 node node_modules/vitest/vitest.mjs run packages/stf/test/device
if [ "$device" = cpu ]; then network=small bench=("--only=train step, small U-Net, DSM, fp32"); else network=ddpmpp bench=(); fi
step 3 "speed and memory" "${STF_GPU_SECONDS:-280}" node bench/dist/main.js --device="$device" --json="$out/bench.json" "${bench[@]}"
size=(--cbase=64 --cres=1,2,2 --num-blocks=2 --batch=256 --precision=bf16 --time-limit="${STF_GPU_MINUTES:-2}")
[ "$device" = cpu ] && size=(--cbase=16 --cres=1,1 --num-blocks=1 --attn=0 --batch=16 --time-limit=0.2)
step 4 training 240 node "$stf" train --data="$images" --stf=1 --rbatch=1024 --augment=0 --dropout=0 --lr=2e-3 --lr-rampup=0.02 \
  --ema=0.05 --tick=20 --seed=0 --device="$device" --outdir="$out/runs" --name=gpu "${size[@]}"
step 4 likelihood 100 node "$stf" likelihood --network="$(ls "$out"/runs/gpu/network-snapshot-*.safetensors 2> /dev/null | tail -n 1)" \
  --data="$images" --num=4 --device="$device"
cp "$out"/runs/gpu/samples-*.png "$out/samples.png" 2> /dev/null
for precision in bf16 fp32; do
  step 5 "profile $precision" 60 node bench/dist/main.js --device="$device" --profile="$network" --precision="$precision"
done

echo
echo "$device, ${SECONDS} s in all; logs and results.jsonl are in $out"
cat "$summary"
[ -e "$out/3-speed-and-memory.log" ] && cat "$out/3-speed-and-memory.log"
[ "$failures" = 0 ]
