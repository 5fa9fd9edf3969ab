#!/usr/bin/env bash
# All that needs a GPU, most valuable first, in ten minutes:
#
#     yardsticks/on_gpu.sh OUT [PART...]
#
# Each part runs by itself, for a bounded time, and leaves OUT/PART.txt and its figures in OUT/PART.json; OUT/parts.txt has a
# line for each, with its seconds and how it ended (0: well, 124: its time was up). A part that fails stops no other.
#
#     devices    tests of what differs on a GPU
#     bfloat16   LTX-2 of real size with random weights: memory by stage, seconds, utilisation, operators of a step
#     float8     the same with the base in float8
#     nccl       a split base and a reduction, in one process
#     helps      settings that may help beside it
#
# SIZE=tiny shows on any machine that all runs. SECONDS_IN_ALL (600) bounds the whole; PYTHON names the interpreter.
set -u
cd "$(dirname "$0")/.."
out=$1 && mkdir -p "$out" && shift
size=${SIZE:-real} python=${PYTHON:-python3}
end=$((SECONDS + ${SECONDS_IN_ALL:-600}))
: >"$out/parts.txt"

part() { # NAME SECONDS COMMAND...
    local name=$1 left=$((end - SECONDS)) most=$2 start=$SECONDS status=124
    shift 2
    most=$((most < left ? most : left))
    ((most > 0)) && { timeout -k 5 "$most" "$@" >"$out/$name.txt" 2>&1 && status=0 || status=$?; }
    echo "$name $((SECONDS - start)) $status" | tee -a "$out/parts.txt"
    tail -n 25 "$out/$name.txt" 2>/dev/null || true
}

step() { # NAME SECONDS OPTION... VARIANT...
    local name=$1 most=$2
    shift 2
    part "$name" "$most" "$python" -m yardsticks.ltx2_step --size "$size" --repeats 1 --out "$out/$name.json" "$@"
}

for name in "${@:-devices bfloat16 float8 nccl helps}"; do
    for part in $name; do
        case $part in
        devices) part devices 90 "$python" -m pytest -q -rs tests/training/test_devices.py tests/training/test_gpu.py ;;
        bfloat16) step bfloat16 150 --profile --only "as shipped" ;;
        helps) step helps 180 --only "any kernels" "TF32 adapters" ;;
        float8) step float8 120 --only "float8 storage" ;;
        nccl) part nccl 60 "$python" -m torch.distributed.run --standalone --nproc-per-node 1 -m yardsticks.nccl "$out/nccl.json" ;;
        *) echo "there is no part $part" >&2 && exit 2 ;;
        esac
    done
done
