"""How finely smiles are graded, and what a personal baseline does to faces at rest."""

import cv2
import numpy as np

from ast_net_ros.model import load_model
from ast_net_ros.training.smile_metrics import graded_metrics, smile_grading_metrics


def test_a_course_that_falls_after_the_second_step_does_not_count():
    rising = np.linspace(0, 0.5, 11)
    late_fall, early_fall = rising.copy(), rising.copy()
    late_fall[7] = 0.1
    early_fall[0] = 0.3
    metrics = graded_metrics(np.stack([rising, late_fall, early_fall]))
    assert metrics["rising_share"] == 0.6667
    assert metrics["rising_steps"] == round(26 / 27, 4)


def test_a_morph_from_distress_to_a_smile_is_graded(distress_and_smile, tmp_path):
    for name, frame in zip(("her_neutral", "her_smiling"), distress_and_smile):
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), frame)
    metrics = smile_grading_metrics(load_model(), tmp_path)
    assert metrics["people"] == 1
    assert metrics["graded"]["mean_valence"][-1] > metrics["graded"]["mean_valence"][0] + 0.5
    assert metrics["graded"]["rising_steps"] > 0.8
    assert metrics["baseline"]["smile_above_neutral"] == 1
