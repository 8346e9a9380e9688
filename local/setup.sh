#!/usr/bin/env bash
# Installs what the demo and the tests need: Debian's tools, uv, the pinned Python environments. Quick when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "seqharvest: $1" >&2; exit 1; }

PACKAGES=(python3 python3-venv ca-certificates procps pigz
  fastp fastqc salmon rna-star samtools gffread sra-toolkit)
TOOLS=(fastp fastqc salmon STAR samtools gffread fasterq-dump latf-load kar vdb-validate pigz)
NEED_GB=6  # environments 2 GB, tools 1 GB, state and scratch of the demo 1 GB, and room

. /etc/os-release 2>/dev/null || true
mkdir -p .local
free_gb=$(( $(df --output=avail -k .local | tail -n 1) / 1024 / 1024 ))
have_gb=$(( $(du -sk .local | cut -f1) / 1024 / 1024 ))
[ $(( free_gb + have_gb )) -ge $NEED_GB ] ||
  fail "too little disk: $free_gb GB free in $PWD, $NEED_GB GB needed → free some, or clone to a larger disk"

missing=()
for tool in "${TOOLS[@]}"; do command -v "$tool" >/dev/null || missing+=("$tool"); done
system_python=/usr/bin/python3
"$system_python" -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
  [ "${ID:-}" = debian ] || [ "${ID_LIKE:-}" = debian ] ||
    fail "missing ${missing[*]}; this is ${PRETTY_NAME:-not Debian} → install them yourself (versions in snakemake_workflows/*/workflow/envs), or use Debian 12"
  if [ "$(id -u)" -eq 0 ]; then sudo=(); elif command -v sudo >/dev/null; then sudo=(sudo); else
    fail "missing ${missing[*]}, and neither root nor sudo here → run as root: apt-get install ${PACKAGES[*]}"
  fi
  echo "seqharvest: installing ${missing[*]} from Debian (log: .local/apt.log)"
  { "${sudo[@]}" apt-get update &&
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${PACKAGES[@]}"; } >.local/apt.log 2>&1 ||
    fail "apt-get failed: $(grep -E '^E:' .local/apt.log | head -n 1) → see .local/apt.log"
fi
"$system_python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$("$system_python" --version) is too old → Python 3.11 or newer is needed at $system_python"

# The system's certificates, not those that pip and uv bring: a company's own authority is among them.
export PIP_CERT=${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt} UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true}

# An environment is made once for each content of its requirements; a half-made one has no stamp and is made again.
environment() {  # name, requirement files…
  local name=$1 stamp; shift
  stamp=$(cat "$@" | sha256sum | cut -c1-16)
  [ "$(cat ".local/$name/.seqharvest-stamp" 2>/dev/null)" = "$stamp" ] && return
  local uv=uv
  if ! command -v uv >/dev/null; then
    uv=.local/uv/bin/uv
    [ -x $uv ] || { "$system_python" -m venv .local/uv && .local/uv/bin/pip install -q uv==0.13.9; } >.local/uv.log 2>&1 ||
      fail "could not install uv: $(tail -n 1 .local/uv.log) → see .local/uv.log"
  fi
  echo "seqharvest: making the $name environment (log: .local/$name.log)"
  local arguments=(); for file in "$@"; do arguments+=(-r "$file"); done
  # Airflow starts twice as fast from compiled bytecode, which uv does not write unless told.
  { $uv venv --clear --python "$system_python" ".local/$name" &&
    env -u PYTHONDONTWRITEBYTECODE UV_COMPILE_BYTECODE=1 $uv pip install --python ".local/$name/bin/python" "${arguments[@]}"; } >".local/$name.log" 2>&1 ||
    fail "could not make the $name environment: $(tail -n 1 ".local/$name.log") → see .local/$name.log"
  echo "$stamp" >".local/$name/.seqharvest-stamp"
}
environment venv requirements.txt requirements-dev.txt
environment ministack local/requirements.txt
[ "${1:-}" != bench ] || environment bench bench/requirements.txt  # the peers of `make bench`
# The linter and the emulator that infra/ is tested with; moto's pins differ from Airflow's.
[ "${1:-}" != infra ] || environment infra infra/requirements.txt
