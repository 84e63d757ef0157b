# Training, synthesis and the steps of the loop.
#   docker build -f deploy/docker/train.Dockerfile -t nhan-train .                       for CPUs
#   docker build -f deploy/docker/train.Dockerfile -t nhan-train:cuda \
#     --build-arg BASE=docker.io/nvidia/cuda:12.8.1-runtime-ubuntu24.04 \
#     --build-arg TORCH_INDEX= .                                                         for GPUs
ARG BASE=docker.io/library/debian:bookworm-slim
# hadolint ignore=DL3006
FROM ${BASE}
ARG VERSION=0
# Where wheels of torch come from; empty: the package index, whose Linux wheels are for CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
LABEL org.opencontainers.image.title="Nhãn training" \
      org.opencontainers.image.description="Trains, exports and runs the steps of the loop" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && useradd --no-log-init --uid 10001 --home-dir /workspace --shell /usr/sbin/nologin nhan \
 && install -d -o 10001 -g 10001 /workspace
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY src src
# Rounds pull labels from Label Studio. A step on Kubeflow needs kfp itself, and none of what it depends on.
RUN python3 -m venv /opt/nhan \
 && /opt/nhan/bin/pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} \
      -c constraints.txt torch \
 && /opt/nhan/bin/pip install --no-cache-dir -c constraints.txt '.[train,classes,postgres,labelstudio]' \
 && /opt/nhan/bin/pip install --no-cache-dir --no-deps 'kfp==2.17.0'
COPY deploy/docker/entrypoint /usr/local/bin/entrypoint
ENV PATH=/opt/nhan/bin:$PATH \
    NHAN_WORKSPACE=/workspace \
    OMP_WAIT_POLICY=PASSIVE
USER 10001
WORKDIR /workspace
VOLUME /workspace
ENTRYPOINT ["entrypoint"]
CMD ["loop", "watch"]
