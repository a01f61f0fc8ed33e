# Workers and driver: Ray's image, which has CUDA's libraries, with iem_batch and its compiled engine.
#     docker build -t REGISTRY/iem-batch .
# The engine is compiled in the image it will run in: another one may have a newer C library.
FROM rayproject/ray:2.60.0-py311-gpu AS build
USER root
RUN apt-get update && apt-get install --yes --no-install-recommends g++
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE /src/
COPY iem_batch /src/iem_batch
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /src

FROM rayproject/ray:2.60.0-py311-gpu
COPY --from=build /wheels /tmp/wheels
COPY constraints.txt /tmp/
RUN pip install --no-cache-dir -c /tmp/constraints.txt "$(ls /tmp/wheels/iem_batch-*.whl)[s3,cuda]"
RUN python -c "from iem_batch.iem.backends import load_backend; load_backend('native')"
COPY --chown=ray:100 jobs /home/ray/jobs
COPY --chown=ray:100 configs /home/ray/configs
WORKDIR /home/ray
