"""`ast_net_node` with a fault in its network, which the file $AST_NET_TEST_FAULT names while it exists.

raise: every call fails. nan: no estimate is finite. memory: only a single face fits into the device. slow: every call
takes 50 ms longer.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from ast_net_ros.model.encoders import OrtEncoder
from ast_net_ros.model.errors import DeviceMemoryError
from ast_net_ros.ros.node import main

FAULT = Path(os.environ["AST_NET_TEST_FAULT"])
encode = OrtEncoder.__call__


def faulty(self: OrtEncoder, chips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fault = FAULT.read_text() if FAULT.exists() else ""
    if fault == "raise":
        raise RuntimeError("the injected fault")
    if fault == "memory" and len(chips) > 1:
        raise DeviceMemoryError("out of memory (injected)")
    if fault == "slow":
        time.sleep(0.05)
    attributes, logits = encode(self, chips)
    return (attributes * np.float32("nan"), logits) if fault == "nan" else (attributes, logits)


OrtEncoder.__call__ = faulty  # type: ignore[method-assign]

faulthandler.register(signal.SIGUSR1)

if __name__ == "__main__":
    sys.exit(main())
