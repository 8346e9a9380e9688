#!/usr/bin/env bash
# Builds the images and checks each: docker/build.sh [pipeline] [airflow]. With Docker where there is one, else with buildah.
# BASE=<image>  a Debian 12, best by digest; default: debian:bookworm-slim, or with buildah, where no registry
#               answers, a base made by debootstrap.   TAG=<tag>  default: the commit.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."

fail() { echo "seqharvest: $1" >&2; exit 1; }

TAG=${TAG:-$(git rev-parse --short=12 HEAD 2>/dev/null || echo local)}
IMAGES=("$@"); [ ${#IMAGES[@]} -gt 0 ] || IMAGES=(pipeline airflow)
MADE=localhost/seqharvest-base:bookworm
CERTIFICATES=${SSL_CERT_FILE:-/dev/null}
mkdir -p .local/images

if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
  builder=docker
elif command -v buildah >/dev/null; then
  builder=buildah
else
  fail "neither docker nor buildah here → install one (Debian: apt-get install --no-install-recommends buildah debootstrap)"
fi

base() {  # prints the base image
  if [ -n "${BASE:-}" ]; then echo "$BASE"; return; fi
  if [ $builder = docker ] || timeout 20 buildah pull -q docker.io/library/debian:bookworm-slim >/dev/null 2>&1; then
    echo docker.io/library/debian:bookworm-slim; return
  fi
  if ! buildah inspect --type image $MADE >/dev/null 2>&1; then debootstrapped >&2; fi
  echo $MADE
}

debootstrapped() {  # makes $MADE
  command -v debootstrap >/dev/null || fail "no registry answers and debootstrap is not here → BASE=<image>, or apt-get install debootstrap"
  [ "$(id -u)" -eq 0 ] || fail "debootstrap needs root → run as root, or BASE=<image>"
  echo "seqharvest: no registry answers; making a Debian 12 base with debootstrap (log: .local/images/debootstrap.log)"
  local root container; root=$(mktemp -d "${TMPDIR:-/tmp}/seqharvest-base.XXXXXX")
  debootstrap --variant=minbase bookworm "$root" "${MIRROR:-http://deb.debian.org/debian}" >.local/images/debootstrap.log 2>&1 ||
    fail "debootstrap failed: $(tail -n 1 .local/images/debootstrap.log)"
  printf 'deb %s bookworm main\ndeb %s bookworm-updates main\ndeb %s bookworm-security main\n' \
    "${MIRROR:-http://deb.debian.org/debian}" "${MIRROR:-http://deb.debian.org/debian}" \
    "${SECURITY_MIRROR:-http://deb.debian.org/debian-security}" >"$root/etc/apt/sources.list"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  container=$(buildah from scratch)
  tar -C "$root" -c . >"$root.tar"; rm -rf "$root"
  buildah add -q "$container" "$root.tar" / >/dev/null; rm "$root.tar"
  buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd bash "$container"
  buildah commit -q --rm "$container" $MADE >/dev/null
}

from=$(base)
for image in "${IMAGES[@]}"; do
  file=docker/$image.Dockerfile name=seqharvest-$image started=$SECONDS
  [ -f "$file" ] || fail "there is no $file"
  echo "seqharvest: building $name:$TAG from $from with $builder (log: .local/images/$image.log)"
  case $builder in
    docker) command=(docker build --secret "id=certificates,src=$CERTIFICATES") ;;
    # Without user namespaces or cgroups to be had, a chroot isolates enough for a build.
    buildah) command=(buildah build --isolation "${BUILDAH_ISOLATION:-chroot}" --format docker --layers --secret "id=certificates,src=$CERTIFICATES") ;;
  esac
  "${command[@]}" --build-arg "BASE=$from" --build-arg "VERSION=$TAG" -f "$file" -t "$name:$TAG" -t "$name:latest" . \
    >".local/images/$image.log" 2>&1 || fail "$name was not built: $(grep -iE 'error|^E:' ".local/images/$image.log" | tail -n 2) → see .local/images/$image.log"
  echo "$TAG" >".local/images/$image.tag"
  echo "seqharvest: $name:$TAG built in $((SECONDS - started)) s"
  docker/check.sh "$image" "$TAG"
done
