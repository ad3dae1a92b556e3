# The one image: the control plane, the command `sluice`, and the filters that proxies fetch from it.
#
#   docker build --tag sluice .

# ---------------------------------------------------------------- the filters, Rust to WebAssembly
FROM rust:1.95.0-slim-bookworm AS filters
RUN rustup target add wasm32-wasip1
WORKDIR /src
# Only what the filters are made of, so that a change of Python builds nothing here again.
COPY filters filters
ENV CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="-C target-feature=+simd128"
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo build --locked --manifest-path filters/Cargo.toml --target-dir /target \
        --release --target wasm32-wasip1 \
        --package flash-sale-filter --package quota-filter --package redis-bridge \
    && mkdir /filters \
    && cp /target/wasm32-wasip1/release/flash_sale_filter.wasm /filters/flash-sale.wasm \
    && cp /target/wasm32-wasip1/release/quota_filter.wasm /filters/quota.wasm \
    && cp /target/wasm32-wasip1/release/redis_bridge.wasm /filters/redis-bridge.wasm

# ------------------------------------------------------------------- the wheel, and its environment
FROM python:3.11.13-slim-bookworm AS wheel
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# What it needs comes by hash, and is built already; a layer of its own, since it seldom changes.
COPY requirements.txt requirements-dev.txt ./
RUN awk '/^[a-z]/ { wanted = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } wanted' \
        requirements-dev.txt > build.txt \
    && pip install --require-hashes --only-binary :all: --requirement build.txt \
    && python -m venv --without-pip /opt/sluice \
    && pip --python /opt/sluice/bin/python install \
        --require-hashes --only-binary :all: --requirement requirements.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY controlplane controlplane
COPY envoy envoy
COPY filters/scripts filters/scripts
COPY manifests/samples manifests/samples
COPY --from=filters /filters controlplane/filters
RUN python -m hatchling build --target wheel --directory /dist \
    && pip --python /opt/sluice/bin/python install --no-deps --no-index /dist/*.whl

# --------------------------------------------------------------------------------------- the image
FROM python:3.11.13-slim-bookworm
# For `sluice certificates`.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openssl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 65532 --user-group --no-create-home --home-dir /nonexistent sluice \
    && install --directory --owner sluice --group sluice --mode 0700 /var/lib/sluice
COPY --from=wheel /opt/sluice /opt/sluice
# Nothing is written beside the code: the root file system may be read-only.
ENV PATH=/opt/sluice/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# By number, so that a kubelet can tell that it is not root.
USER 65532:65532
WORKDIR /var/lib/sluice
# Configuration, filter code (TLS), the API, health and metrics.
EXPOSE 18000 18081 18080 18082
ENTRYPOINT ["sluice"]
CMD ["--help"]
