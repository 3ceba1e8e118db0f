# The image of nodes, the command line and the controller: three binaries and the libraries they name, nothing else.
# `image/rootfs.sh` lays it out, here from what the first stage builds, and in tests from binaries that are there.
#
#   docker build -t quorate .

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin quorate-node --bin quorate --bin quorate-controller
RUN image/rootfs.sh target/release /rootfs

FROM scratch
COPY --from=build /rootfs/ /
# A volume that is empty when it is mounted here takes over this owner; a pod has `fsGroup` for the same.
COPY --from=build --chown=65532:65532 /rootfs/var/lib/quorate/ /var/lib/quorate/
ENV QUORATE_DATA_DIR=/var/lib/quorate
USER 65532:65532
# 7700 gRPC for clients, 7701 HTTP, 7702 other nodes. A node listens on loopback unless it is told otherwise
# (QUORATE_GRPC_LISTEN, QUORATE_HTTP_LISTEN, QUORATE_PEER_LISTEN).
EXPOSE 7700 7701 7702
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/quorate-node"]
