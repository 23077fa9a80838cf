"""Sizes of the network for each data set; the rest is read from the checkpoint."""

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from mdth.errors import CheckpointError

FEATURE_RATE_HZ = 50
"""wav2vec2's convolutions give a feature every 320 samples of 16 kHz sound."""
MOST = {"vertices": 1_000_000, "num_hidden_layers": 64, "fps": 240, "tokens_per_frame": 50}
LARGEST_SIZE = 1 << 14
MOST_CONVOLUTIONS = 16


@dataclass(frozen=True)
class EncoderConfig:
    """wav2vec2's sizes; the defaults are wav2vec2-base."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    conv_dim: tuple[int, ...] = (512,) * 7
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16


@dataclass(frozen=True)
class Config:
    """One data set's network.

    width: of the decoder. period: of positions and attention bias, in frames. fps: of the meshes.
    tokens_per_frame: encoder tokens a frame sees; 1 means that features are resampled to fps.
    vertices and subjects: taken from the checkpoint when one is loaded.
    names: the training subjects in their order, as far as they are published.
    """

    dataset: str
    width: int
    period: int
    fps: int
    tokens_per_frame: int
    vertices: int
    subjects: int = 8
    names: tuple[str, ...] = ()
    encoder: EncoderConfig = field(default_factory=EncoderConfig)

    def save(self, path: Path) -> None:
        """Write the sizes as JSON, beside the weights they belong to."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote. Raises CheckpointError."""
        try:
            found = json.loads(path.read_text("utf-8"))
            encoder = found.pop("encoder")
            encoder["conv_dim"] = tuple(encoder["conv_dim"])
            names = tuple(found.pop("names"))
            config = cls(**found, names=names, encoder=EncoderConfig(**encoder))
            _check_sizes({**found, **encoder})
            return config
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: not a network's sizes ({error})") from error

    @cached_property
    def token_rate_hz(self) -> int:
        """Tokens of the encoder's transformer per second."""
        return self.fps * self.tokens_per_frame

    @property
    def resamples(self) -> bool:
        """Whether features are interpolated to the frame rate before the transformer."""
        return self.tokens_per_frame == 1

    def frames(self, features: int) -> int:
        """How many frames that many features give."""
        if self.resamples:
            return int(features / FEATURE_RATE_HZ * self.fps)
        return features // self.tokens_per_frame


def _check_sizes(found: dict[str, Any]) -> None:
    """Raise ValueError unless every size is a whole number that a network can have."""
    widths = found["conv_dim"]
    if not 1 <= len(widths) <= MOST_CONVOLUTIONS or not isinstance(found["dataset"], str):
        raise ValueError("odd convolutions or data set")
    sizes = {**found, **{f"conv_dim {place}": width for place, width in enumerate(widths)}}
    for name in sizes.keys() - {"dataset", "conv_dim"}:
        if type(sizes[name]) is not int or not 1 <= sizes[name] <= MOST.get(name, LARGEST_SIZE):
            raise ValueError(f"{name} is {str(sizes[name])[:40]!r}")


VOCASET = Config(
    dataset="vocaset",
    width=64,
    period=30,
    fps=30,
    tokens_per_frame=1,
    vertices=5023,
    names=(
        "FaceTalk_170728_03272_TA",
        "FaceTalk_170904_00128_TA",
        "FaceTalk_170725_00137_TA",
        "FaceTalk_170915_00223_TA",
        "FaceTalk_170811_03274_TA",
        "FaceTalk_170913_03279_TA",
        "FaceTalk_170904_03276_TA",
        "FaceTalk_170912_03278_TA",
    ),
)
BIWI = Config(dataset="biwi", width=128, period=25, fps=25, tokens_per_frame=2, vertices=23370)
DATASETS = {config.dataset: config for config in (VOCASET, BIWI)}
