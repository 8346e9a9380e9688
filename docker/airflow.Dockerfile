# Airflow with Seqharvest's DAGs and plugins, for teams that run their own. Built by `make images`.
# One image for every component: the command says which (`airflow scheduler`, `airflow api-server`).
# BASE is a Debian 12; give one by digest to pin it (debian@sha256:…).
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS python
ARG UV=0.13.9
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY requirements.txt docker/airflow.in /build/
# The secret is for networks whose proxy has an authority of its own; no layer keeps it.
RUN --mount=type=secret,id=certificates \
    if [ -s /run/secrets/certificates ]; then \
      export SSL_CERT_FILE=/run/secrets/certificates PIP_CERT=/run/secrets/certificates; \
    fi \
 && python3 -m venv /build/uv && /build/uv/bin/pip install -q --no-cache-dir uv==${UV} \
 && /build/uv/bin/uv venv -q --python /usr/bin/python3 /opt/venv \
 && /build/uv/bin/uv pip install -q --no-cache --python /opt/venv/bin/python \
      -c /build/requirements.txt -r /build/airflow.in \
 && rm -f /opt/venv/.lock \
 # Airflow starts in half the time from bytecode.
 && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib

FROM ${BASE}
ARG VERSION=unknown
LABEL org.opencontainers.image.title="seqharvest-airflow" \
      org.opencontainers.image.revision="${VERSION}"
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      python3 ca-certificates procps tini \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log \
      /usr/share/doc /usr/share/man /usr/share/locale \
 && useradd --uid 1000 --create-home --shell /usr/sbin/nologin seqharvest \
 && install -d -o 1000 -g 1000 /opt/airflow
COPY --from=python /opt/venv /opt/venv
COPY dags /opt/seqharvest/dags
COPY plugins /opt/seqharvest/plugins
COPY snakemake_workflows /opt/seqharvest/snakemake_workflows
COPY docker/sbom.py /tmp/sbom.py
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/seqharvest \
 && /opt/venv/bin/python /tmp/sbom.py seqharvest-airflow "${VERSION}" > /opt/seqharvest/sbom.cdx.json \
 && rm /tmp/sbom.py
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/seqharvest/plugins:/opt/seqharvest/snakemake_workflows \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SEQHARVEST_HOME=/opt/seqharvest \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/seqharvest/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/seqharvest/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    HOME=/home/seqharvest \
    LANG=C.UTF-8
USER 1000
WORKDIR /opt/airflow
# Only the api-server listens; the other components' liveness is `airflow jobs check`.
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s CMD \
  ["python", "-c", "import urllib.request as u; u.urlopen('http://localhost:8080/api/v2/monitor/health', timeout=5)"]
EXPOSE 8080
ENTRYPOINT ["/usr/bin/tini", "--", "airflow"]
CMD ["version"]
