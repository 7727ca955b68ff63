# groundkit serve in a container.
#
#   docker build -t groundkit .                                             for the CPU
#   docker build -t groundkit --build-arg TORCH=https://download.pytorch.org/whl/cu128 .    for CUDA
#   docker run -p 8000:8000 -v groundkit-models:/models groundkit --pipeline vlsam --model smolvlm
#   docker run --gpus all -p 8000:8000 -v groundkit-models:/models groundkit --model flux
#
# Models are downloaded into the volume on the first start. Nothing asks who a request is from: put what does before it.
FROM python:3.12-slim
ARG TORCH=https://download.pytorch.org/whl/cpu
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir torch torchvision --index-url "$TORCH"
WORKDIR /groundkit
COPY . .
RUN pip install --no-cache-dir ".[serve,heic]"
RUN useradd --create-home groundkit && mkdir /models && chown groundkit /models
USER groundkit
WORKDIR /home/groundkit
ENV HF_HOME=/models
EXPOSE 8000
ENTRYPOINT ["groundkit", "serve", "--host", "0.0.0.0"]
