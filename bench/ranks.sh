#!/bin/bash
# Runs bench/dist/ranks.js in several processes of this machine, one thread each.
#     bench/ranks.sh RANKS [options of ranks.js]
# With RATE=1gbit two processes run in network namespaces of their own, connected by a line of that bandwidth; that needs root. With
# DELAY=2 as well, packets take so many milliseconds in each direction (bench/delay.py: many kernels lack tc's netem).
set -euo pipefail
ranks=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
port=${MASTER_PORT:-$((20000 + RANDOM % 20000))}
export WORLD_SIZE=$ranks OMP_NUM_THREADS=1 MASTER_PORT=$port

if [ -z "${RATE:-}" ]; then
  export MASTER_ADDR=127.0.0.1
  for ((rank = 1; rank < ranks; rank++)); do
    RANK=$rank LOCAL_RANK=$rank node "$here/dist/ranks.js" "$@" &
  done
  RANK=0 LOCAL_RANK=0 node "$here/dist/ranks.js" "$@"
  wait
  exit
fi

if [ "$ranks" -ne 2 ]; then
  echo "a line connects two processes, found $ranks" >&2
  exit 2
fi
names=("stf-$$-0" "stf-$$-1")
trap 'for name in "${names[@]}"; do ip netns del "$name" 2>/dev/null || true; done' EXIT
for name in "${names[@]}"; do ip netns add "$name"; done
if [ -n "${DELAY:-}" ]; then
  python3 "$here/delay.py" "${names[0]}" "${names[1]}" "$DELAY" "$RATE" &
  relay=$!
  trap 'kill $relay 2>/dev/null || true; for name in "${names[@]}"; do ip netns del "$name" 2>/dev/null || true; done' EXIT
  sleep 1
else
  ip link add "veth0" netns "${names[0]}" type veth peer name "veth1" netns "${names[1]}"
  for i in 0 1; do
    ip -n "${names[$i]}" addr add "10.77.0.$((i + 1))/24" dev "veth$i"
    ip -n "${names[$i]}" link set "veth$i" up
    ip -n "${names[$i]}" link set lo up
    tc -n "${names[$i]}" qdisc add dev "veth$i" root tbf rate "$RATE" burst 1mb latency 100ms
  done
fi
export MASTER_ADDR=10.77.0.1
RANK=1 LOCAL_RANK=0 GLOO_SOCKET_IFNAME=veth1 ip netns exec "${names[1]}" node "$here/dist/ranks.js" "$@" &
other=$!
RANK=0 LOCAL_RANK=0 GLOO_SOCKET_IFNAME=veth0 ip netns exec "${names[0]}" node "$here/dist/ranks.js" "$@"
wait "$other"
