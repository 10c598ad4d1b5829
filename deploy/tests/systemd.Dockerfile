# A Debian machine with systemd, for the tests to install the package on.
FROM docker.io/library/debian:bookworm-slim
RUN apt-get update -qq && \
    apt-get install -y -qq --no-install-recommends bash-completion ca-certificates dbus logrotate man-db systemd systemd-sysv && \
    rm -rf /var/lib/apt/lists/*
CMD ["/sbin/init"]
