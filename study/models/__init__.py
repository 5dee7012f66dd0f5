"""The systems of the study, on blocks that they share."""

from study.models.coattention import CoAttention
from study.models.detector import Detector1D, Detector2D
from study.models.hourglass import Backbone

MODELS = {"detector1d": Detector1D, "detector2d": Detector2D}

__all__ = ["MODELS", "Backbone", "CoAttention", "Detector1D", "Detector2D"]
