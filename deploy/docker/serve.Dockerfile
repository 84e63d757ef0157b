# The server: no torch, no compiler, not root; may run with a read-only root file system.
#   docker build -f deploy/docker/serve.Dockerfile -t nhan-serve .
#   docker run -e NHAN_KEY=… -p 8000:8000 -v nhan:/workspace nhan-serve
# The same with the Streamlit page, a client of a server elsewhere:
#   docker build -f deploy/docker/serve.Dockerfile -t nhan-streamlit --build-arg EXTRAS=streamlit .
FROM docker.io/library/debian:bookworm-slim AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends binutils ca-certificates python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
ARG EXTRAS=postgres,labelstudio
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY src src
# Left out, because a server never opens them: compiled files, tests, headers, debug symbols,
# ONNX Runtime's model converters, and Arrow Flight, a database protocol that nothing here speaks.
RUN python3 -m venv /opt/nhan \
 && /opt/nhan/bin/pip install --no-cache-dir --no-compile -c constraints.txt ".[${EXTRAS}]" \
 && /opt/nhan/bin/pip uninstall -y pip setuptools \
 && find /opt/nhan -type d \( -name tests -o -name test -o -name include -o -name __pycache__ \) \
      -prune -exec rm -rf {} + \
 && find /opt/nhan -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.a' \) -delete \
 && rm -rf /opt/nhan/lib/python3*/site-packages/onnxruntime/transformers \
 && find /opt/nhan \( -name 'libarrow_flight*' -o -name '_flight*' -o -name 'libarrow_python.so' \
      -o -name 'libarrow_python.so.*.*' \) -delete \
 && find /opt/nhan -type f -name '*.so*' \( -path '*/uvloop/*' -o -path '*/rapidfuzz/*' \
      -o -path '*/sqlalchemy/*' -o -path '*/obstore/*' -o -path '*/pyarrow/*' \) \
      -exec strip --strip-unneeded {} +

FROM docker.io/library/debian:bookworm-slim
ARG VERSION=0
LABEL org.opencontainers.image.title="Nhãn server" \
      org.opencontainers.image.description="Reads Vietnamese lines and classifies pictures over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && useradd --no-log-init --uid 10001 --home-dir /workspace --shell /usr/sbin/nologin nhan \
 && install -d -o 10001 -g 10001 /workspace
COPY --from=build /opt/nhan /opt/nhan
COPY deploy/docker/entrypoint /usr/local/bin/entrypoint
# Everybody who can reach a container can reach this address: whoever asks needs a key (NHAN_KEY, or keys.json).
ENV PATH=/opt/nhan/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    NHAN_WORKSPACE=/workspace \
    NHAN_SERVE__HOST=0.0.0.0 \
    NHAN_SERVE__LOG=json
USER 10001
WORKDIR /workspace
VOLUME /workspace
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["entrypoint"]
CMD ["serve"]
