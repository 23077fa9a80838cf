"""Which set of clips a command works on, from its arguments."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from mdth.errors import InputError
from training.seed.corpus import Corpus

ENCODERS: dict[str, dict[str, Any]] = {
    "base": {},
    "small": {
        "hidden_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 192,
        "conv_dim": (64,) * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    },
}
"""wav2vec2-base as published, and one for a CPU without its weights."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The kind of set, its folder, and the tracked faces of our own."""
    parser.add_argument("set", choices=["vocaset", "biwi", "tracked"])
    parser.add_argument("folder", type=Path, help="as published; the clips if tracked")
    parser.add_argument("--tracks", type=Path, help="`training.talk`'s folder, for tracked")


def open_corpus(given: argparse.Namespace) -> Corpus:
    """The set the arguments name, with the sizes of the encoder they name."""
    from mdth.faceformer.config import EncoderConfig
    from training.seed.biwi import Biwi
    from training.seed.tracked import Tracked
    from training.seed.vocaset import Vocaset

    if given.set == "vocaset":
        corpus: Corpus = Vocaset(given.folder)
    elif given.set == "biwi":
        corpus = Biwi(given.folder)
    elif given.tracks is None:
        raise InputError("tracked clips need --tracks, the folder of training.talk")
    else:
        corpus = Tracked(given.folder, given.tracks)
    encoder = getattr(given, "encoder", None)
    if encoder is not None:
        corpus.config = dataclasses.replace(
            corpus.config, encoder=EncoderConfig(**ENCODERS[encoder])
        )
    return corpus
