"""Settings from the environment, read whenever they are used."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True)
class Config:
    """Where things are.

    store: URL or path of the twins' storage (`raw/`, `processed/`, `inference/`).
    home: the twins' local tree (`warping-common/`, `warping-data/`, `warping-processed/`, ...).
    models: the folder of fetched models, one for all that a user does.
    """

    store: str
    home: Path
    models: Path


def config() -> Config:
    """The settings: `MDTH_STORE` (default `./store`), `MDTH_HOME` (default `./warping-shared`).

    `MDTH_MODELS` (default: the folder `mdth` among the user's caches, such as `~/.cache/mdth`).
    """
    return Config(
        store=os.environ.get("MDTH_STORE", "store"),
        home=Path(os.environ.get("MDTH_HOME", "warping-shared")),
        models=Path(os.environ.get("MDTH_MODELS") or platformdirs.user_cache_path("mdth", False)),
    )
