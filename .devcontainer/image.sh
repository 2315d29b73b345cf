#!/usr/bin/env bash
# The workspace's image: the one that CI published for exactly these files, else built from the Dockerfile.
#   image.sh       an editor runs it on the host before it reads the compose files: it writes image.yaml for them
#   image.sh tag   print the image's tag
# The tag is a digest of the files that decide the environment, so another Dockerfile or lock never gets an old image.
# SAMEBOAT_WORKSPACE_IMAGE names another repository of images, or is `build`: then the Dockerfile is always built.
set -euo pipefail
cd "$(dirname "$0")/.."
FILES=(Dockerfile .dockerignore pyproject.toml uv.lock .ci/uv.txt .ci/node.txt .ci/kernels.py .ci/q8_0_avx512.h
  .ci/k_quants_avx512.h .ci/attention_avx512.h
  .devcontainer/own-volumes service/engine/local/device_setup.py service/engine/local/devices.py
  service/engine/local/kernels.py)
case $(uname -m) in x86_64) machine=amd64 ;; aarch64 | arm64) machine=arm64 ;; *) machine=$(uname -m) ;; esac
tag=$(cat "${FILES[@]}" | git hash-object --stdin)-$machine
[ "${1:-}" != tag ] || { echo "$tag"; exit; }

file=.devcontainer/image.yaml
build() {
  echo "workspace: building the image from the Dockerfile: $1" >&2
  printf '# Written by image.sh: nothing is added, so the Dockerfile is built.\nservices: {}\n' >"$file"
  exit 0
}
name=${SAMEBOAT_WORKSPACE_IMAGE:-}
[ "$name" != build ] || build "SAMEBOAT_WORKSPACE_IMAGE says so"
if [ -z "$name" ]; then
  origin=$(git remote get-url origin 2>/dev/null || true)
  repository=$(sed -nE 's#^(https://github\.com/|git@github\.com:|ssh://git@github\.com/)([A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)$#\2#p' <<<"${origin%.git}")
  [ -n "$repository" ] || build "the origin is no repository on GitHub"
  name=ghcr.io/$(tr '[:upper:]' '[:lower:]' <<<"$repository")-workspace
fi
docker pull --quiet "$name:$tag" >/dev/null 2>&1 || build "$name has no image of these files, or cannot be reached"
digest=$(docker image inspect --format '{{join .RepoDigests "\n"}}' "$name:$tag" | grep -m 1 "^$name@sha256:" || true)
[ -n "$digest" ] || build "$name:$tag has no digest"
printf '# Written by image.sh.\nservices:\n  workspace:\n    image: %s\n    build: !reset null\n' "$digest" >"$file"
docker compose --file .devcontainer/compose.yaml --file "$file" config --quiet 2>/dev/null ||
  build "this Docker Compose is older than 2.24"
echo "workspace: $digest" >&2
