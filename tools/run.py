"""Run a developer tool: `python tools/run.py bench [ARGUMENTS...]`.

The others are `soak`, `ablation`, `demo`, `tracking`, `head_pose`, `persons` and `affect_map`.

A tool is a package beside this file that uses the installed ast_net_ros (`source env.sh`). Started this way, the
checkout is not on Python's path, where its ast_net_ros directory would hide the built one with the messages.
"""

import runpy
import sys

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(
            "usage: python tools/run.py {bench|soak|ablation|demo|tracking|head_pose|persons|affect_map} [ARGUMENTS...]"
        )
    sys.argv.pop(0)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
