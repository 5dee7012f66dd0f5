"""The systems of the study, on blocks that they share."""

from study.models.coattention import CoAttention
from study.models.coordinates import Coordinates
from study.models.detector import Detector1D, Detector2D
from study.models.fan import FAN
from study.models.gan import GANTracker
from study.models.hourglass import Backbone
from study.models.integral import Integral
from study.models.lab import LAB, LAB1D, LABOfLandmarks
from study.models.recurrent import Tracker2D
from study.models.simcc import SimCC
from study.models.sta import STA
from study.models.tracker import Tracker1D

MODELS = {
    "detector1d": Detector1D,
    "detector2d": Detector2D,
    "simcc": SimCC,
    "coordinates": Coordinates,
    "integral": Integral,
    "lab": LAB,
    "lab1d": LAB1D,
    "lab_landmarks": LABOfLandmarks,
}
TRACKERS = {"tracker1d": Tracker1D, "tracker2d": Tracker2D, "gan": GANTracker}

__all__ = [
    "FAN",
    "LAB",
    "LAB1D",
    "MODELS",
    "STA",
    "TRACKERS",
    "Backbone",
    "CoAttention",
    "Coordinates",
    "Detector1D",
    "Detector2D",
    "GANTracker",
    "Integral",
    "LABOfLandmarks",
    "SimCC",
    "Tracker1D",
    "Tracker2D",
]
