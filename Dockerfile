# One file for every place Sameboat runs: base -> build -> runtime (-> worker, baked), and build -> dev.
# The engine is compiled once, in `build`; the notebook in `dev` and the service in `runtime` load that same library.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm@sha256:782412e85d0f0984994c290652577d4018aff08145c85b262bb63dc0c7522254

# --- base: what the runtime and the workspace share -----------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/sameboat/bin:$PATH \
    SAMEBOAT_HOST=0.0.0.0 \
    SAMEBOAT_CACHE_DIR=/cache \
    SAMEBOAT_STATE_DIR=/state
# The directories belong to uid 1000 in the image, because a new named volume takes its owner from there.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 1000 sameboat \
 && useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash sameboat \
 && install -d -o 1000 -g 1000 /cache /state /app

# --- build: the locked wheels, llama.cpp compiled for x86-64-v3 / armv8.2 (flags in pyproject.toml) --------------------
FROM base AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc g++ \
 && rm -rf /var/lib/apt/lists/*
ENV UV_PROJECT_ENVIRONMENT=/opt/sameboat \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /app
COPY .ci/uv.txt .ci/uv.txt
RUN python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r .ci/uv.txt
COPY pyproject.toml uv.lock README.md LICENSE ./
# Dependencies first: this layer, with the compiled engine, changes only when the lock does.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-default-groups --extra local --no-install-project
COPY service service
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-default-groups --extra local --no-editable

# --- runtime: no compiler, no package manager of ours, no weights ------------------------------------------------------
FROM base AS runtime
COPY --from=build /opt/sameboat /opt/sameboat
COPY --chown=1000:1000 data /app/data
ENV SAMEBOAT_DATA_DIR=/app/data
ARG REVISION=unknown
ARG DIGESTS=unknown
# `DIGESTS` is what `sameboat version --digests` prints: the prompts, the models and the locks that this image serves.
LABEL org.opencontainers.image.title="sameboat" \
      org.opencontainers.image.description="A prompt, its model and its service, provably in the same boat" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}" \
      dev.sameboat.digests="${DIGESTS}"
USER 1000:1000
WORKDIR /app
EXPOSE 7860
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=2)"]
ENTRYPOINT ["sameboat"]
CMD ["serve"]

# --- worker: runtime with the browser that checks builds -----------------------------------------------------------------
FROM build AS build-worker
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --no-default-groups --extra local --extra browser --no-editable

FROM runtime AS worker
USER 0:0
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends chromium \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build-worker /opt/sameboat /opt/sameboat
USER 1000:1000

# --- dev: the workspace. The same compiled engine, plus what a person works with -------------------------------------
FROM build AS dev
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends chromium git make nodejs npm openssh-client sudo \
 && rm -rf /var/lib/apt/lists/* \
 && echo 'sameboat ALL=(root) NOPASSWD: /usr/bin/chown' > /etc/sudoers.d/sameboat \
 && install -d -o 1000 -g 1000 /home/sameboat/.cache /home/sameboat/.cache/uv
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --locked --all-extras --all-groups --no-install-project \
 && chown -R 1000:1000 /opt/sameboat
USER 1000:1000

# --- baked: runtime with the starter model inside, for platforms without volumes ----------------------------------------
FROM runtime AS baked
RUN sameboat model pull --quiet

# The default target is the plain runtime.
FROM runtime
