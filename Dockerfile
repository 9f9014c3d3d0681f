# syntax=docker/dockerfile:1
#
#   docker build -t darkroom .
#   docker run -d --name darkroom -v darkroom:/data -e PHOTOGPT_API_KEY darkroom
#   docker exec darkroom darkroom ls
#
# The daemon listens on the container's own loopback, so nothing outside can reach it. To publish
# it on this machine only:
#   -e DARKROOM_LISTEN=0.0.0.0:7878 -e DARKROOM__DAEMON__ALLOW_REMOTE=true -p 127.0.0.1:7878:7878
#
# The health check needs Docker's image format (podman, buildah: --format docker).

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The target folder is a cache and not part of the layer: what is needed leaves it in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --profile dist --locked --bin darkroom \
    && install -D target/dist/darkroom /out/darkroom

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /out/darkroom /usr/local/bin/darkroom

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="darkroom" \
      org.opencontainers.image.description="Gets paid AI media work done through the PhotoGPT API, never loses it, never buys it twice" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

ENV DARKROOM_DATA_DIR=/data
USER 10001:10001
VOLUME /data
WORKDIR /data
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["darkroom", "health"]
ENTRYPOINT ["darkroom"]
CMD ["serve"]
