"""`ast_net_node` whose network does what the file $AST_NET_TEST_FAULT says, as long as it is there.

raise: every call fails. nan: every estimate is not a number. memory: the device has room for a single face only.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from ast_net_ros.model.inference import AffectModel
from ast_net_ros.ros.node import main

FAULT = Path(os.environ["AST_NET_TEST_FAULT"])
encode_at_once = AffectModel._encode_at_once


def faulty(self: AffectModel, chips: torch.Tensor) -> Any:
    fault = FAULT.read_text() if FAULT.exists() else ""
    if fault == "raise":
        raise RuntimeError("the injected fault")
    if fault == "memory" and len(chips) > 1:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory (injected)")
    attributes, emotions = encode_at_once(self, chips)
    return (attributes * float("nan"), emotions) if fault == "nan" else (attributes, emotions)


AffectModel._encode_at_once = faulty  # type: ignore[method-assign]

faulthandler.register(signal.SIGUSR1)

if __name__ == "__main__":
    sys.exit(main())
