"""A stand-in for the PostgreSQL image, for machines that reach no registry: `python -m tests.containers.postgres TAG`.

Debian's PostgreSQL on the Python base image, with an entry point that honours the variables that our compose files set:
POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD(_FILE), POSTGRES_HOST_AUTH_METHOD. It is built for tests, never published.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.containers.engine import docker

ENTRY = r"""#!/bin/sh
set -eu
data=/var/lib/postgresql/data
bin=$(echo /usr/lib/postgresql/*/bin)
as=
if [ "$(id -u)" = 0 ]; then
  as="setpriv --reuid postgres --regid postgres --clear-groups"
  install -d -o postgres -g postgres -m 700 "$data" /var/run/postgresql
fi
if [ ! -s "$data/PG_VERSION" ]; then
  password=${POSTGRES_PASSWORD:-$(cat "${POSTGRES_PASSWORD_FILE:-/dev/null}")}
  method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  printf %s "$password" > /tmp/password && chmod 444 /tmp/password
  $as "$bin/initdb" -D "$data" -U "$POSTGRES_USER" --auth-local=trust --auth-host="$method" \
    ${password:+--pwfile=/tmp/password}
  rm /tmp/password
  echo "host all all all $method" >> "$data/pg_hba.conf"
  $as "$bin/pg_ctl" -D "$data" -w -o "-c listen_addresses=''" start
  $as createdb -U "$POSTGRES_USER" "$POSTGRES_DB" || true
  $as "$bin/pg_ctl" -D "$data" -w stop
fi
exec $as "$bin/postgres" -D "$data" -c listen_addresses='*'
"""
RECIPE = f"""ARG PYTHON_IMAGE
FROM ${{PYTHON_IMAGE}}
RUN apt-get update && apt-get install -y --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/*
RUN cat > /entry <<'END' && chmod +x /entry
{ENTRY}END
RUN install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data \\
 && install -d -o postgres -g postgres -m 3777 /var/run/postgresql
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["/entry"]
"""


def pullable(image: str) -> bool:
    """Whether the real image is here or can be had."""
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode == 0:
        return True
    return subprocess.run(["docker", "pull", "--quiet", image], capture_output=True, timeout=600).returncode == 0


def build(tag: str = "sameboat-test-postgres:local") -> str:
    """Build the stand-in: its name."""
    base = os.environ.get("PYTHON_IMAGE", "python:3.12-slim-bookworm")
    docker("build", "--tag", tag, "--build-arg", f"PYTHON_IMAGE={base}", "-", input=RECIPE)
    return tag


if __name__ == "__main__":
    print(build(*sys.argv[1:]))
