"""How FaceFormer is trained, and where a run keeps its state; told without torch."""

import math
from dataclasses import asdict, dataclass
from typing import Any

STATE = "run.pt"


@dataclass(frozen=True)
class Settings:
    """How to train; the defaults are FaceFormer's.

    feedback: "own" output of the frame before, the "taught" true one, or "scheduled": true ones
    whose share falls to none over the first `schedule_steps` steps. rate: Adam's. decay_steps: over
    so many steps it falls to nothing along a cosine (0: it stays).
    masked: share of the sound hidden from the encoder. train_cnn: also the encoder's convolutions,
    which are frozen otherwise. precision: "off", "bf16" or "fp16".
    """

    feedback: str = "own"
    schedule_steps: int = 10_000
    rate: float = 1e-4
    decay_steps: int = 0
    masked: float = 0.05
    train_cnn: bool = False
    precision: str = "off"
    random_seed: int = 0

    def rate_at(self, step: int) -> float:
        """Adam's rate of a step."""
        if not self.decay_steps:
            return self.rate
        part = min(1.0, step / self.decay_steps)
        return self.rate * (1 + math.cos(math.pi * part)) / 2

    def differing(self, other: dict[str, Any]) -> list[str]:
        """The names of the settings that another run's record has otherwise."""
        return [name for name, value in asdict(self).items() if other.get(name) != value]
