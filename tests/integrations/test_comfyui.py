"""The nodes for ComfyUI, with a stand-in of its types."""

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mdth
from mdth.errors import MissingInput
from mdth.media.audio import probe_sound, read_blocks
from mdth.media.video import probe_video
from mdth.options import TABLE
from tests.support.raising import raises

ROOT = Path(__file__).parents[2]
PACK = ROOT / "integrations/comfyui"


class Tensor(np.ndarray):
    """An array with the two methods of torch's that are called."""

    def cpu(self) -> "Tensor":
        return self

    def numpy(self) -> np.ndarray:
        return np.asarray(self)


class Video:
    """ComfyUI's VideoFromFile: a file that may be saved elsewhere."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def save_to(self, path: str) -> None:
        Path(path).write_bytes(self.path.read_bytes())


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The nodes by their ids; those of what ComfyUI's `io` gives remember what they were told."""

    def kind(name: str) -> Any:
        put = lambda id="", **more: SimpleNamespace(type=name, id=id, **more)  # noqa: E731
        return SimpleNamespace(Input=put, Output=put)

    io: Any = SimpleNamespace(ComfyNode=object, Schema=SimpleNamespace, NodeOutput=lambda it: it)
    for name in ("Image", "Audio", "Video", "String", "Combo", "Float", "Int", "Boolean"):
        setattr(io, name, kind(name))
    bars: list[tuple[int, int]] = []
    bar = SimpleNamespace(update_absolute=lambda done, total: bars.append((done, total)))
    fakes: dict[str, dict[str, Any]] = {
        "comfy": {},
        "comfy.utils": {"ProgressBar": lambda total: bar},
        "comfy_api": {},
        "comfy_api.latest": {
            "ComfyExtension": object, "io": io, "InputImpl": SimpleNamespace(VideoFromFile=Video),
        },
        "folder_paths": {"get_temp_directory": lambda: str(tmp_path / "temp")},
    }  # fmt: skip
    for name, content in fakes.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["comfy"].utils = sys.modules["comfy.utils"]  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location(
        "mdth_comfyui", PACK / "__init__.py", submodule_search_locations=[str(PACK)]
    )
    assert spec and spec.loader
    pack = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mdth_comfyui", pack)
    monkeypatch.delitem(sys.modules, "mdth_comfyui.nodes", raising=False)
    spec.loader.exec_module(pack)
    found = asyncio.run(asyncio.run(pack.comfy_entrypoint()).get_node_list())
    return {node.define_schema().node_id: node for node in found} | {"progress": bars}


def test_inputs_are_options_of_the_table(nodes: dict[str, Any]) -> None:
    for name, first in (("MdthTalk", "Image"), ("MdthDub", "Video")):
        face, audio, text, *options = nodes[name].define_schema().inputs
        assert (face.type, audio.type, text.type) == (first, "Audio", "String")
        assert {option.id for option in options} <= set(TABLE)
        assert all(option.optional and option.tooltip for option in options)
        for option in options:
            assert option.default == TABLE[option.id].default
            if option.type in ("Float", "Int"):
                assert (option.min, option.max) == TABLE[option.id].metadata["within"]
        assert [out.type for out in nodes[name].define_schema().outputs] == ["Video"]
        raises(MissingInput, "nothing to say", nodes[name].execute, None, text=" ")


def test_a_picture_talks_and_its_video_is_dubbed(
    nodes: dict[str, Any], portrait_path: Path, short_path: Path
) -> None:
    with Image.open(portrait_path) as picture:
        small = np.asarray(picture.convert("RGB").resize((240, 300)), np.float32) / 255
    sound = np.concatenate(list(read_blocks(short_path, 24_000)))[:24_000]
    audio = {"waveform": np.stack([sound, sound])[None].view(Tensor), "sample_rate": 24_000}
    video = nodes["MdthTalk"].execute(small[None].view(Tensor), audio, fps=10, motion=0.5)
    info = probe_video(video.path)
    assert (info.fps, probe_sound(video.path).channels) == (10, 2)
    assert probe_sound(video.path).duration_s == pytest.approx(1, abs=0.1)
    assert nodes["progress"][-1] == (10, 10)
    with pytest.raises(mdth.MdthError):
        nodes["MdthDub"].execute(Video(str(portrait_path)), audio, fps=1)


def test_a_clip_is_dubbed(nodes: dict[str, Any], short_path: Path) -> None:
    clip = Video(str(ROOT / "src/mdth/examples/clip.mp4"))
    sound = np.concatenate(list(read_blocks(short_path, 16_000)))[:8_000]
    audio = {"waveform": sound[None, None].view(Tensor), "sample_rate": 16_000}
    dubbed = nodes["MdthDub"].execute(clip, audio, fit="cut")
    assert probe_video(dubbed.path).fps == probe_video(clip.path).fps
    assert probe_sound(dubbed.path).duration_s == pytest.approx(0.5, abs=0.1)
