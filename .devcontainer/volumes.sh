#!/usr/bin/env bash
# Named volumes keep the owner they were born with, and an editor may give this user another number than the image did.
# Repair what this user cannot write where we may, explain it where we may not.
set -euo pipefail
for folder in /cache /state "$HOME/.cache/uv" /opt/sameboat; do
  [ -d "$folder" ] || continue
  stranger=$(find "$folder" ! -user "$(id -u)" -print -quit)
  [ -n "$stranger" ] || continue
  echo "sameboat: $stranger belongs to $(stat -c '%U (uid %u)' "$stranger"); giving $folder to $(id -un)"
  sudo /usr/local/sbin/own-volumes || {
    echo "sameboat: that failed. Run as root: chown -R $(id -u):$(id -g) $folder" >&2
    exit 1
  }
done
