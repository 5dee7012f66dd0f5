"""Device, precision and threads: chosen here and nowhere else."""

import contextlib
import os
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Device:
    """Where a training or a prediction computes.

    Attributes:
        kind: "cuda" or "cpu".
        precision: "float32" or "bfloat16".
    """

    kind: str
    precision: str = "float32"

    def place(self, module):
        """A model on the device, its convolutions laid out as the device likes them."""
        return module.to(self.kind, memory_format=torch.channels_last)

    def move(self, tensor):
        """A tensor on the device; from pinned memory it travels while the device computes."""
        return tensor.to(self.kind, non_blocking=self.kind == "cuda")

    def autocast(self):
        """A context in which the model computes in the chosen precision."""
        if self.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.kind, dtype=getattr(torch, self.precision))

    def peak_memory(self):
        """Highest memory so far in MiB: of the device, or of the process on a CPU."""
        if self.kind == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def choose(precision="float32"):
    """The best device of this machine; the environment variable STUDY_DEVICE overrides."""
    kind = os.environ.get("STUDY_DEVICE")
    if kind is None:
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    return Device(kind, precision)


def set_threads(count):
    """Threads of this process; two-thread work beside other load collapses if they spin."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    torch.set_num_threads(count)
