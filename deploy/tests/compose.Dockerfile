# Images for the tests of compose.yaml, where no registry can be reached: Debian's packages, put where the images that the file names
# have them. What the file relies on is as it is there: the command, the paths, the user, the signal that stops it.
ARG TOOLS

FROM docker.io/library/debian:bookworm-slim AS postgres
# The versions of what is mounted: with another one, this is built anew.
ARG TOOLS
# PostgreSQL of npm's @embedded-postgres, which scripts/test-deployment mounts; it has no clients.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql-client-15 && cp -r /embedded-postgres /usr/local/pgsql && \
    useradd --system --uid 999 --user-group --home-dir /var/lib/postgresql postgres && \
    install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data && install -d -o postgres -g postgres /var/run/postgresql
ENV PATH=/usr/local/pgsql/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENV LANG=C.UTF-8 PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
COPY postgres-entrypoint /usr/local/bin/docker-entrypoint.sh
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]

FROM docker.io/library/debian:bookworm-slim AS haproxy
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends haproxy && mkdir -p /usr/local/etc/haproxy
STOPSIGNAL SIGUSR1
USER haproxy
WORKDIR /var/lib/haproxy
# Its entrypoint adds -W -db.
CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]

FROM docker.io/library/debian:bookworm-slim AS prometheus
# The two programs, without the pages that the package depends on.
RUN cd /tmp && apt-get update -qq && apt-get download -qq prometheus && dpkg-deb --extract prometheus_*.deb prometheus && \
    mv prometheus/usr/bin/* /usr/bin/ && rm -r prometheus* && mkdir -p /etc/prometheus && install -d -o nobody -g nogroup /prometheus
VOLUME /prometheus
USER nobody
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]

FROM docker.io/library/debian:bookworm-slim AS alertmanager
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus-alertmanager && \
    ln -s prometheus-alertmanager /usr/bin/alertmanager && \
    mkdir -p /etc/alertmanager && install -d -o nobody -g nogroup /alertmanager
VOLUME /alertmanager
USER nobody
WORKDIR /alertmanager
ENTRYPOINT ["/bin/alertmanager"]
CMD ["--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/alertmanager"]
