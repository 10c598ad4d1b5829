# The agent of the original as its own image was made, for the tests to run it beside our AFM.
FROM docker.io/library/debian:bookworm-slim
# A network that looks into TLS has an authority of its own.
ARG PIP_CERT
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
COPY requirements-agent.txt /tmp/
RUN python3 -m venv /agent && /agent/bin/pip install --quiet --no-cache-dir setuptools==57.5.0 && \
    /agent/bin/pip install --quiet --no-cache-dir --no-deps --no-build-isolation -r /tmp/requirements-agent.txt
ENV PATH=/agent/bin:/usr/bin:/bin
USER nobody
CMD ["sh", "-c", "slamon-agent -u ${AFM} -l ${HANDLERS} ${EXTRA_FLAGS}"]
