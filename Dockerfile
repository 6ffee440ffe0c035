# surfaceviz on CPUs: everything, pictures in 3-D and MPI included, drawn by Mesa without a display.
#
#   docker build -t surfaceviz .
#   docker run --rm -v "$PWD:/work" surfaceviz slice resnet20-digits
#
# On Linux, pip's torch brings CUDA, which is 2 GB more. To leave it out, give the index of PyTorch's CPU builds (pytorch.org,
# "Start Locally"): docker build --build-arg PIP_EXTRA_INDEX_URL=...
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends libegl1 libegl-mesa0 libgl1-mesa-dri \
    && rm -rf /var/lib/apt/lists/*
ARG PIP_EXTRA_INDEX_URL
COPY . /src
RUN python -m pip install --no-cache-dir -c /src/constraints.txt '/src[all,mpi]'
RUN surfaceviz --version
WORKDIR /work
ENTRYPOINT ["surfaceviz"]
