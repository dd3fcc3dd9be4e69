"""ONNX Runtime records and sends nothing, whatever its build does by default."""

import os
import subprocess
import sys

PROCESS_A_FRAME = """
import numpy as np
from ast_net_ros.pipeline import AffectPipeline

pipeline = AffectPipeline()
pipeline.process(np.zeros((120, 160, 3), np.uint8), 0.0)
pipeline.model.warm_up()
"""


def test_processing_a_frame_writes_no_file(tmp_path):
    # On a continuous integration machine the library keeps quiet by itself, so such variables are taken away.
    telling = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "JENKINS_URL", "BUILD_ID", "ORT_DISABLE_TELEMETRY")
    environment = {name: value for name, value in os.environ.items() if name not in telling}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROCESS_A_FRAME],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if "matplotlib" not in path.parts], written
