"""Makes the node's pipeline from its parameters, ready to process without delay."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from ast_net_ros.model import load_model
from ast_net_ros.pipeline import AffectPipeline
from ast_net_ros.ros.parameters import pipeline_settings
from ast_net_ros.vision.detection import Detection, make_detector
from ast_net_ros.vision.persons import PersonMemory


def make_pipeline(values: Mapping[str, Any]) -> AffectPipeline:
    """Load the weights, run network and detector once, and return a pipeline without history.

    Args:
        values: The node's parameters; `person_timeout` is read at every use.

    Raises:
        Exception: What `load_model` and `make_detector` raise.
    """
    model = load_model(values["weights"] or None, values["device"], values["precision"], values["runtime"])
    model.warm_up()
    detector = make_detector()
    _warm_up(AffectPipeline(model, detector))
    # A random part keeps the ids of two runs apart in one recording or one subscriber's memory.
    run = secrets.token_hex(2)
    persons = PersonMemory(lambda: values["person_timeout"], f"person_{run}_") if values["persons"] else None
    return AffectPipeline(model, detector, pipeline_settings(values), f"face_{run}_", persons)


def _warm_up(pipeline: AffectPipeline) -> None:
    """Process an image with and without a face, so that the first real ones are not delayed by loading models."""
    frame = np.zeros((480, 640, 3), np.uint8)
    landmarks = np.array([[290, 200], [350, 200], [320, 240], [295, 270], [345, 270]], np.float32)
    face = Detection((260.0, 150.0, 120.0, 160.0), landmarks, 1.0)
    pipeline.process(frame, 0.0, "warm-up")
    pipeline.process(frame, 1.0, "warm-up", detections=[face])
