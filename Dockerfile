FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bin tollgate

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/tollgate --create-home tollgate
COPY --from=build /build/target/release/tollgate /usr/local/bin/tollgate
USER tollgate
VOLUME /var/lib/tollgate
# 8443 is for clients; 9145, metrics and health, listens on loopback unless configured otherwise.
EXPOSE 8443 9145
# It drains on SIGTERM for up to server.drain_timeout: give `docker stop` at least as long.
ENTRYPOINT ["tollgate"]
CMD ["serve", "--config", "/etc/tollgate/tollgate.toml"]
