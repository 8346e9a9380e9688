# The image of every Batch job: Snakemake, our plugins, the tools. Built by `make images`.
# BASE is a Debian 12; give one by digest to pin it (debian@sha256:…).
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS python
ARG UV=0.13.9
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY requirements.txt docker/pipeline.in /build/
# The secret is for networks whose proxy has an authority of its own; no layer keeps it.
RUN --mount=type=secret,id=certificates \
    if [ -s /run/secrets/certificates ]; then \
      export SSL_CERT_FILE=/run/secrets/certificates PIP_CERT=/run/secrets/certificates; \
    fi \
 && python3 -m venv /build/uv && /build/uv/bin/pip install -q --no-cache-dir uv==${UV} \
 && /build/uv/bin/uv venv -q --python /usr/bin/python3 /opt/venv \
 && /build/uv/bin/uv pip install -q --no-cache --python /opt/venv/bin/python \
      -c /build/requirements.txt -r /build/pipeline.in \
 # MultiQC's: a browser to print plots as pictures, and Polars for CPUs without AVX2; 390 MB.
 && /build/uv/bin/uv pip uninstall -q --python /opt/venv/bin/python kaleido polars-runtime-compat \
 && rm -f /opt/venv/.lock \
 # A third of a worker's start would be compiling. Unchecked: nobody edits an image's files, and
 # Python need not look at 2,000 sources' times.
 && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib

FROM ${BASE}
ARG VERSION=unknown
LABEL org.opencontainers.image.title="seqharvest-pipeline" \
      org.opencontainers.image.revision="${VERSION}"
# Versions are those of local/setup.sh's machine and of the workflows' envs/*.yaml.
# fastqc wants a whole default-jre; man pages' folder is one it expects.
RUN mkdir -p /usr/share/man/man1 \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      python3 ca-certificates procps \
      pigz=2.6* \
      fastp=0.23.2* \
      fastqc=0.11.9* \
      salmon=1.10.1* \
      rna-star=2.7.10b* \
      samtools=1.16.1* \
      gffread=0.12.7* \
      sra-toolkit=3.0.3* \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log \
      /usr/share/doc /usr/share/man /usr/share/locale /usr/share/icons \
 && useradd --uid 1000 --create-home --shell /usr/sbin/nologin seqharvest \
 # A host's disk is mounted over it; without one it is the container's own.
 && install -d -m 1777 /scratch
COPY --from=python /opt/venv /opt/venv
COPY plugins /opt/seqharvest/plugins
COPY snakemake_workflows /opt/seqharvest/snakemake_workflows
COPY docker/sbom.py /tmp/sbom.py
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/seqharvest \
 && /opt/venv/bin/python /tmp/sbom.py seqharvest-pipeline "${VERSION}" > /opt/seqharvest/sbom.cdx.json \
 && rm /tmp/sbom.py
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/seqharvest/plugins:/opt/seqharvest/snakemake_workflows \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SEQHARVEST_HOME=/opt/seqharvest \
    SEQHARVEST_SCRATCH=/scratch \
    TMPDIR=/scratch \
    GIT_PYTHON_REFRESH=quiet \
    HOME=/home/seqharvest \
    LANG=C.UTF-8
USER 1000
WORKDIR /scratch
# No health check: a job is healthy as long as it runs. No entry point: submits give the command.
CMD ["python", "-m", "seqharvest.head"]
