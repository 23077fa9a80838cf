from pathlib import Path

import pytest

from mdth.flame.files import read_embedding, read_model
from mdth.flame.model import Embedding, Flame
from tests.support.flame_made_up import write_official


@pytest.fixture(scope="session")
def flame_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flame")
    write_official(folder)
    return folder


@pytest.fixture(scope="session")
def flame(flame_folder: Path) -> Flame:
    return read_model(flame_folder / "generic_model.pkl")


@pytest.fixture(scope="session")
def embedding(flame_folder: Path) -> Embedding:
    return read_embedding(flame_folder / "flame_static_embedding.pkl")
