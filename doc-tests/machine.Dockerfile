# The Debian machine on which pages are tested (README.md): systemd, a user who may sudo, what the pages say a machine has, and a
# repository of Debian packages and one of wheels, so that pages install what they need without network. The context is the folder scripts.
FROM docker.io/library/debian:bookworm-slim
# A network that looks into TLS has an authority of its own.
ARG PIP_CERT
RUN echo force-unsafe-io > /etc/dpkg/dpkg.cfg.d/unsafe-io && \
    apt-get update -qq && \
    apt-get install -y -qq --no-install-recommends bash-completion ca-certificates curl dbus gcc git iproute2 libc6-dev logrotate make \
        man-db openssl procps python3 python3-pip python3-venv sudo systemd systemd-sysv && \
    apt-get install -y -qq --no-install-recommends apt-utils

# What pages install with apt. The large libraries of PostgreSQL are there, since six pages install it.
RUN apt-get update -qq && \
    apt-get install -y -qq --no-install-recommends libicu72 libllvm14 libxml2 libxslt1.1 libz3-4 locales ssl-cert && \
    apt-get install -y -qq --no-install-recommends --download-only \
        apache2-utils caddy haproxy jq nginx pgbouncer postgresql prometheus prometheus-alertmanager sqlite3 && \
    mkdir /srv/debian && cp /var/cache/apt/archives/*.deb /srv/debian/ && \
    cd /srv/debian && apt-ftparchive packages . > Packages && \
    rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/* /var/cache/apt/archives/*.deb && \
    echo 'deb [trusted=yes] file:/srv/debian ./' > /etc/apt/sources.list && apt-get update -qq

# What pages install with pip: the original agent, and what the Python client needs.
COPY requirements-agent.txt requirements-python-client.txt /tmp/
RUN pip3 wheel --quiet --no-cache-dir --no-deps --wheel-dir /srv/wheels -r /tmp/requirements-agent.txt && \
    grep -E '^(anyio|certifi|exceptiongroup|h11|httpcore|httpx|idna|setuptools|typing_extensions|wheel)==' /tmp/requirements-python-client.txt \
        > /tmp/client.txt && \
    pip3 wheel --quiet --no-cache-dir --no-deps --wheel-dir /srv/wheels -r /tmp/client.txt && \
    printf '[global]\nno-index = true\nfind-links = /srv/wheels\ndisable-pip-version-check = true\n' > /etc/pip.conf && \
    python3 -m venv /srv/client && /srv/client/bin/pip install --quiet httpx

RUN useradd --create-home --shell /bin/bash --uid 1000 user && \
    echo 'user ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/user && \
    printf 'silent\nshow-error\n' > /home/user/.curlrc && cp /home/user/.curlrc /root/ && \
    echo 'APT::Get::Assume-Yes "true";' > /etc/apt/apt.conf.d/assume-yes && \
    echo 'debconf debconf/frontend select Noninteractive' | debconf-set-selections && \
    echo 'man-db man-db/auto-update boolean false' | debconf-set-selections && \
    systemctl mask console-getty.service getty.target apt-daily.timer apt-daily-upgrade.timer man-db.timer e2scrub_all.timer
# The original AFM, whose database is taken over. Its own line, since pip.conf is there by now.
COPY requirements-afm.txt /tmp/
RUN PIP_CONFIG_FILE=/dev/null pip3 wheel --quiet --no-cache-dir --no-deps --wheel-dir /srv/wheels -r /tmp/requirements-afm.txt
CMD ["/sbin/init"]
