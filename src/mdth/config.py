"""Settings from the environment, read whenever they are used."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Config:
    """Where things are.

    store: URL or path of the twins' storage (`raw/`, `processed/`, `inference/`).
    home: the local tree (`warping-common/`, `warping-data/`, `warping-processed/`, ...).
    """

    store: str
    home: Path


def config() -> Config:
    """The settings: `MDTH_STORE` (default `./store`), `MDTH_HOME` (default `./warping-shared`)."""
    return Config(
        store=os.environ.get("MDTH_STORE", "store"),
        home=Path(os.environ.get("MDTH_HOME", "warping-shared")),
    )
