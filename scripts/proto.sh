#!/usr/bin/env bash
# Generates the stubs from proto/ into kubectl_flux/rpc; with --check it only says whether the committed ones differ.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
stubs=kubectl_flux/rpc/flux/v1

# Mapping proto/ to the package's path makes the generated imports right as they are written.
.venv/bin/python -m grpc_tools.protoc -I kubectl_flux/rpc=proto \
  --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" "$stubs/flux.proto"

for file in flux_pb2.py flux_pb2.pyi flux_pb2_grpc.py; do
  if [ "${1:-}" != --check ]; then
    cp "$out/$stubs/$file" "$stubs/$file"
  elif ! cmp -s "$out/$stubs/$file" "$stubs/$file"; then
    echo "$stubs/$file differs from what proto/ says: run 'make proto' and commit the result." >&2
    drift=1
  fi
done
exit "${drift:-0}"
