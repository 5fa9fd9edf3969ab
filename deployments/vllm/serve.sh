#!/bin/sh
# A vLLM server for `models.writer=vllm` and `models.judge=vllm`, on this machine's GPUs. In an environment with vLLM:
#
#   deployments/vllm/serve.sh Qwen/Qwen3-VL-32B-Instruct --tensor-parallel-size 2
#   wmsd pipeline --frames IMAGES --set models.writer=vllm --set models.judge=vllm
#
# Further arguments go to vLLM. The server listens on loopback only; to reach it from elsewhere, set HOST, and VLLM_API_KEY
# here and WMSD_VLM_API_KEY there to the same secret.
set -eu
[ $# -ge 1 ] || { echo "usage: $0 MODEL [vllm arguments]" >&2; exit 2; }
model=$1
shift
case ${HOST:-127.0.0.1} in
  127.0.0.1 | localhost) ;;
  *) [ -n "${VLLM_API_KEY:-}" ] || { echo "to listen on $HOST, set VLLM_API_KEY: whoever reaches it could use it" >&2; exit 2; } ;;
esac
export VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1
# --trust-request-mm-kwargs: requests say at which times the frames of a video were taken.
# --generation-config vllm: temperature and the rest are what the request says, not what the model's folder prefers.
exec vllm serve "$model" \
  --host "${HOST:-127.0.0.1}" --port "${PORT:-8000}" \
  --trust-request-mm-kwargs \
  --generation-config vllm \
  --limit-mm-per-prompt '{"image": 33, "video": 1}' \
  --default-chat-template-kwargs '{"enable_thinking": false}' \
  "$@"
