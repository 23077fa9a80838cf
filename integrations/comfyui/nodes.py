"""A picture or a clip says a sound or a text: two nodes of ComfyUI's V3 API."""

import tempfile
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.utils
import folder_paths
import numpy as np
from comfy_api.latest import ComfyExtension, InputImpl, io
from PIL import Image

import mdth
from mdth.options import TABLE, TYPES

# Of the one table of options: those of a node.
TALK = ("mouth", "motion", "manner", "blink", "still", "random_seed", "fps", "voice", "voice_speed")
DUB = ("mouth", "fit", "voice", "voice_speed")
Progress = Callable[[int, int | None], None]


def _option(name: str) -> Any:
    """The input of an option."""
    about, kind = TABLE[name].metadata, TYPES[name]
    more: dict[str, Any] = {"default": TABLE[name].default, "tooltip": about["words"]}
    if about["among"] or name == "voice":
        among = about["among"] or tuple(mdth.voices())
        return io.Combo.Input(name, options=list(among), optional=True, **more)
    if about["within"]:
        more["min"], more["max"] = about["within"]
    if kind is float:
        more["step"] = 0.05
    types = {float: io.Float, int: io.Int, bool: io.Boolean}
    return types[kind].Input(name, optional=True, **more)


def _schema(name: str, title: str, words: str, face: Any, options: tuple[str, ...]) -> Any:
    return io.Schema(
        node_id=name,
        display_name=title,
        category="video/talking heads",
        description=words,
        inputs=[
            face,
            io.Audio.Input("audio", optional=True),
            io.String.Input(
                "text", default="", multiline=True, optional=True,
                tooltip="English, said where there is no audio",
            ),
            *(_option(option) for option in options),
        ],
        outputs=[io.Video.Output()],
    )  # fmt: skip


class Talk(io.ComfyNode):
    """IMAGE and AUDIO, or a text -> VIDEO."""

    @classmethod
    def define_schema(cls) -> Any:
        """See ComfyUI."""
        words = "A picture with a face says an audio or a text."
        return _schema("MdthTalk", "MDTH Talk", words, io.Image.Input("image"), TALK)

    @classmethod
    def execute(cls, image: Any, audio: Any = None, text: str = "", **options: Any) -> Any:
        """image: [B,H,W,C] 0..1, of which the first talks."""
        with _given(audio, text) as (speech, said, folder):
            pixels = np.clip(image[0].cpu().numpy()[..., :3], 0, 1)
            portrait = folder / "portrait.png"
            Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(portrait)
            return _made(mdth.talk, portrait, speech, text=said, **options)


class Dub(io.ComfyNode):
    """VIDEO and AUDIO, or a text -> VIDEO."""

    @classmethod
    def define_schema(cls) -> Any:
        """See ComfyUI."""
        words = "A clip of a person says an audio or a text; only the mouth changes."
        return _schema("MdthDub", "MDTH Dub", words, io.Video.Input("video"), DUB)

    @classmethod
    def execute(cls, video: Any, audio: Any = None, text: str = "", **options: Any) -> Any:
        """video: of one person, mostly from the front."""
        with _given(audio, text) as (speech, said, folder):
            clip = folder / "clip.mp4"
            video.save_to(str(clip))
            return _made(mdth.dub, clip, speech, text=said, **options)


@contextmanager
def _given(audio: Any, text: str) -> Iterator[tuple[Path | None, str | None, Path]]:
    """The audio as a file, or the text, and a folder for more files."""
    if audio is None and not text.strip():
        raise mdth.MissingInput("nothing to say: connect an audio, or write a text")
    with tempfile.TemporaryDirectory(prefix="mdth-") as folder:
        speech = Path(folder) / "speech.wav"
        if audio is not None:
            waveform = audio["waveform"][0].cpu().numpy()  # [C,n], full scale 1
            with speech.open("wb") as target, wave.open(target) as file:
                file.setnchannels(len(waveform))
                file.setsampwidth(2)
                file.setframerate(int(audio["sample_rate"]))
                pcm = np.round(np.clip(waveform.T, -1, 1) * 32767).astype("<i2")
                file.writeframes(pcm.tobytes())
        yield (None, text, Path(folder)) if audio is None else (speech, None, Path(folder))


def _made(make: Callable[..., Any], face: Path, speech: Path | None, **more: Any) -> Any:
    """The video that a call of mdth writes into ComfyUI's folder for temporary files."""
    parent = Path(folder_paths.get_temp_directory())
    parent.mkdir(parents=True, exist_ok=True)
    target = Path(tempfile.mkdtemp(prefix="mdth-", dir=parent)) / "talk.mp4"
    bar = comfy.utils.ProgressBar(1)

    def progress(done: int, total: int | None) -> None:
        bar.update_absolute(done, total or done)

    make(face, speech, target, progress=progress, **more)
    return io.NodeOutput(InputImpl.VideoFromFile(str(target)))


class Nodes(ComfyExtension):
    """What ComfyUI lists."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """See ComfyUI."""
        return [Talk, Dub]


async def comfy_entrypoint() -> ComfyExtension:
    """What ComfyUI calls."""
    return Nodes()
