#!/usr/bin/env bash
# Looks into a built image: docker/check.sh pipeline|airflow TAG. Fails with the first thing that is not as promised.
set -euo pipefail
cd "$(dirname "$0")/.."
image=$1 name=seqharvest-$1:$2

if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
  inside() { docker run --rm -i --entrypoint "" "$name" "$@"; }
  size=$(docker image inspect -f '{{.Size}}' "$name")
else
  # --pull=never: a typo must not become a question to a registry.
  container=$(buildah from --pull-never "localhost/$name"); trap 'buildah rm "$container" >/dev/null' EXIT
  # chroot isolation gives no proc of its own but needs no privilege either.
  inside() { buildah run --isolation "${BUILDAH_ISOLATION:-chroot}" "$container" -- "$@"; }
  size=$(buildah images --format '{{.Size}}' "localhost/$name" | awk 'NR == 1')
fi
fail() { echo "seqharvest: image $name: $1" >&2; exit 1; }

[ "$(inside id -u)" = 1000 ] || fail "it runs as $(inside id -un)"
for tool in gcc cc make pip uv; do ! inside sh -c "command -v $tool" >/dev/null 2>&1 || fail "$tool is left in it"; done
inside sh -c '! touch /opt/seqharvest/x 2>/dev/null' || fail "its user may write to the code"
inside python - "$image" <"docker/check_$image.py" || fail "what it should run does not run"
count=$(inside python -c 'import json; print(len(json.load(open("/opt/seqharvest/sbom.cdx.json"))["components"]))')
echo "seqharvest: $name is as promised: $size, $count components in /opt/seqharvest/sbom.cdx.json"
