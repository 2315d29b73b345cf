#!/usr/bin/env bash
# Named volumes keep the owner they were born with. Repair it where we may, explain it where we may not.
set -euo pipefail
for volume in "${SAMEBOAT_CACHE_DIR:-/cache}" "${SAMEBOAT_STATE_DIR:-/state}" "$HOME/.cache/uv"; do
  [ -d "$volume" ] || continue
  if [ ! -w "$volume" ]; then
    echo "sameboat: $volume belongs to $(stat -c %U "$volume"); giving it to $(id -un)"
    sudo chown -R "$(id -u):$(id -g)" "$volume" || {
      echo "sameboat: that failed. Run as root: chown -R $(id -u):$(id -g) $volume" >&2
      exit 1
    }
  fi
done
