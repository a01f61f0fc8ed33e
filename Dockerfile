# Workers and driver: Ray's image, which has CUDA's libraries, with iem_batch and its compiled engine.
#     docker build -t REGISTRY/iem-batch .
FROM python:3.11-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE /src/
COPY iem_batch /src/iem_batch
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /src

FROM rayproject/ray:2.60.0-py311-gpu
COPY --from=build /wheels /tmp/wheels
COPY constraints.txt /tmp/
RUN pip install --no-cache-dir -c /tmp/constraints.txt "$(ls /tmp/wheels/iem_batch-*.whl)[s3,cuda]"
COPY --chown=ray:100 jobs /home/ray/jobs
COPY --chown=ray:100 configs /home/ray/configs
WORKDIR /home/ray
