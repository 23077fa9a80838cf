"""Speech -> a mesh per frame, with a published FaceFormer checkpoint.

model = FaceFormer.load(Path("vocaset.pth"), dataset="vocaset")
vertices = model.vertices(samples, template, "FaceTalk_170725_00137_TA")
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mdth.artefacts import SPEECH_RATE_HZ
from mdth.errors import InputError, SpeechTooShort
from mdth.faceformer.checkpoint import load_network
from mdth.faceformer.config import DATASETS, Config
from mdth.faceformer.decoder import Decoder
from mdth.faceformer.encoder import feature_count
from mdth.faceformer.network import Network
from mdth.faceformer.static import StaticDecoder, room_for
from mdth.faceformer.statistics import SoundStatistics
from mdth.faceformer.windows import LONG, STREAM, WindowedEncoder, Windows

WHOLE_CLIP_S = 120.0
"""Up to this length the encoder sees the clip at once, as in training; above, in windows."""
SHORTEST_S = 0.3
SMALLEST_STREAM = 1024
PIECE_BYTES = 4 * 10 * SPEECH_RATE_HZ
RECORDED = 4
"""On a GPU: frames that a stream's recorded step has room for at first, and steps kept."""

FloatArray = npt.NDArray[np.floating]
Vertices = npt.NDArray[np.float32]


def is_recorded(device: torch.device) -> bool:
    """Whether the decoder's steps are recorded and replayed there."""
    return device.type == "cuda"


class FaceFormer:
    """A network, and on a GPU the recorded steps of its last sounds. Safe to use for many clips.

    Meshes are float32 [V,3] in the template's frame and unit (metres for VOCASET).
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.config = network.config
        self._recorded: dict[tuple[int, int], StaticDecoder] = {}

    @classmethod
    def load(
        cls, path: Path, dataset: str | Config | None = None, *, device: str | torch.device = "cpu"
    ) -> Self:
        """The network of a published checkpoint, or of one that `training.seed.train` wrote.

        dataset: "vocaset", "biwi", or other sizes; without, the sizes in the JSON beside the file,
        and vocaset's where there is none. Raises CheckpointError if the file is missing,
        damaged or not this network's, InputError for an unknown data set.
        """
        if dataset is None:
            beside = path.with_suffix(".json")
            dataset = Config.load(beside) if beside.is_file() else "vocaset"
        config = dataset if isinstance(dataset, Config) else DATASETS.get(dataset)
        if config is None:
            raise InputError(f"no data set {dataset!r}; there are {', '.join(DATASETS)}")
        return cls(load_network(path, config).to(device))

    @property
    def fps(self) -> int:
        """Meshes per second."""
        return self.config.fps

    def subject(self, name: int | str) -> int:
        """The column of a training subject, by number or by name. Raises InputError."""
        known = self.config.names[: self.config.subjects]
        if isinstance(name, str) and name in known:
            return known.index(name)
        if isinstance(name, int) and 0 <= name < self.config.subjects:
            return name
        raise InputError(
            f"no subject {name!r}; use 0 to {self.config.subjects - 1}"
            + (f" or one of {', '.join(known)}" if known else "")
        )

    @torch.inference_mode()
    def vertices(
        self,
        samples: FloatArray,
        template: FloatArray,
        subject: int | str,
        *,
        normalised: bool = False,
        whole_clip_s: float = WHOLE_CLIP_S,
    ) -> Vertices:
        """A mesh per frame, [T,V,3], for speech [N], mono, 16 kHz.

        template: [V,3], the person's neutral face. subject: whose way of speaking.
        normalised: the samples have zero mean and unit variance already.
        Above `whole_clip_s` the encoder works in windows (`windows.LONG`) with the whole clip's
        statistics. Raises InputError for wrong shapes, SpeechTooShort under 0.3 s.
        """
        speaker, start = self.subject(subject), self._template(template)
        sound = self._sound(samples)
        if len(sound) < SHORTEST_S * SPEECH_RATE_HZ:
            raise SpeechTooShort(f"{len(sound) / SPEECH_RATE_HZ:.2f} s of sound; give 0.3 s")
        count = self.config.frames(feature_count(len(sound)))
        decoder = self._decoder(speaker, count)
        meshes = torch.empty(count, start.numel(), device=start.device)
        done, out = 0, self.network.vertice_map_r
        for speech in self._speech(sound, normalised=normalised, whole_clip_s=whole_clip_s):
            hidden = decoder.frames(speech)
            torch.addmm(
                start + out.bias, hidden, out.weight.T, out=meshes[done : done + len(hidden)]
            )
            done += len(hidden)
        self._put_back(decoder)
        return meshes.view(count, -1, 3).cpu().numpy()

    @torch.inference_mode()
    def stream(
        self,
        blocks: Iterable[FloatArray],
        template: FloatArray,
        subject: int | str,
        *,
        windows: Windows = STREAM,
        length: int | None = None,
    ) -> Iterator[Vertices]:
        """Meshes [V,3], each at most `windows.look_ahead_s` after its sound (1.0 s by default).

        blocks: float [n], mono, 16 kHz, one after the other, of any lengths; their cutting changes
        nothing. The encoder sees windows and running statistics, see `windows`.
        length: samples in all, if known; then VOCASET's frames lie where the whole clip puts them.
        Raises InputError for wrong shapes, SpeechTooShort if the sound ends before 0.3 s.
        """
        speaker, start = self.subject(subject), self._template(template)
        features = None if length is None else feature_count(length)
        encoder = WindowedEncoder(self.network, windows, features=features)
        frames = 1 if length is None else self.config.frames(feature_count(length))
        decoder = self._decoder(speaker, frames)
        heard = 0
        for samples in blocks:
            sound = self._sound(samples)
            heard += len(sound)
            for speech in encoder.hear(sound):
                yield from self._meshes(decoder, speech, start)
        if heard < SHORTEST_S * SPEECH_RATE_HZ:
            raise SpeechTooShort(f"{heard / SPEECH_RATE_HZ:.2f} s of sound; give 0.3 s")
        for speech in encoder.finish():
            yield from self._meshes(decoder, speech, start)
        self._put_back(decoder)

    @torch.inference_mode()
    def long(
        self, blocks: Iterable[FloatArray], template: FloatArray, subject: int | str
    ) -> Iterator[Vertices]:
        """Meshes [V,3] of a sound of any length in blocks, as `vertices` gives above 120 s.

        It is heard to its end before the first mesh, into a temporary file, because the encoder
        needs its statistics and length; memory stays bounded. Raises as `stream`.
        """
        speaker, start = self.subject(subject), self._template(template)
        statistics, heard = SoundStatistics(), 0
        with TemporaryFile() as kept:
            for samples in blocks:
                sound = self._sound(samples)
                statistics.hear(sound)
                kept.write(sound.cpu().numpy().tobytes())
                heard += len(sound)
            if heard < SHORTEST_S * SPEECH_RATE_HZ:
                raise SpeechTooShort(f"{heard / SPEECH_RATE_HZ:.2f} s of sound; give 0.3 s")
            kept.seek(0)
            features = feature_count(heard)
            encoder = WindowedEncoder(self.network, LONG, statistics=statistics, features=features)
            decoder = self._decoder(speaker, self.config.frames(features))
            while piece := kept.read(PIECE_BYTES):
                for speech in encoder.hear(self._sound(np.frombuffer(piece, np.float32).copy())):
                    yield from self._meshes(decoder, speech, start)
        for speech in encoder.finish():
            yield from self._meshes(decoder, speech, start)
        self._put_back(decoder)

    def _decoder(self, speaker: int, frames: int) -> Decoder | StaticDecoder:
        """A decoder that knows nothing yet; on a GPU a recorded one, an idle one if there is."""
        if not is_recorded(self.network.vertice_map_r.bias.device):
            return Decoder(self.network, speaker)
        room = room_for(max(frames, SMALLEST_STREAM))
        decoder = self._recorded.pop((speaker, room), None)
        if decoder is None:
            return StaticDecoder(self.network, speaker, room=room)
        decoder.begin()
        return decoder

    def _put_back(self, decoder: Decoder | StaticDecoder) -> None:
        """Keep a recorded decoder for the next sound, but no more than a few of them."""
        if isinstance(decoder, StaticDecoder):
            while len(self._recorded) >= RECORDED:
                self._recorded.pop(next(iter(self._recorded)), None)
            self._recorded[decoder.subject, decoder.step.room] = decoder

    def _speech(self, sound: Tensor, *, normalised: bool, whole_clip_s: float) -> Iterator[Tensor]:
        """What the decoder attends to, in one piece or in windows."""
        statistics = SoundStatistics.of(sound, normalised=normalised)
        if len(sound) <= whole_clip_s * SPEECH_RATE_HZ:
            features = self.network.audio_encoder.feature_extractor(sound, statistics)
            yield self.network.speech(self.network.aligned(features))
            return
        encoder = WindowedEncoder(
            self.network, LONG, statistics=statistics, features=feature_count(len(sound))
        )
        yield from encoder.hear(sound)
        yield from encoder.finish()

    def _meshes(
        self, decoder: Decoder | StaticDecoder, speech: Tensor, start: Tensor
    ) -> Iterator[Vertices]:
        hidden = decoder.frames(speech)
        meshes = self.network.vertice_map_r(hidden) + start
        yield from meshes.view(len(hidden), -1, 3).cpu().numpy()

    def _sound(self, samples: FloatArray) -> Tensor:
        if samples.ndim != 1:
            raise InputError(f"sound of shape {samples.shape}; give mono samples [N] at 16 kHz")
        device = self.network.vertice_map_r.bias.device
        return torch.from_numpy(np.ascontiguousarray(samples, np.float32)).to(device)

    def _template(self, template: FloatArray) -> Tensor:
        """The template as one row [V*3] on the network's device."""
        if template.shape != (self.config.vertices, 3):
            raise InputError(
                f"template of shape {template.shape}; this checkpoint has {self.config.vertices} "
                "vertices: give [V,3]"
            )
        flat = np.array(template, np.float32).reshape(-1)
        return torch.from_numpy(flat).to(self.network.vertice_map_r.bias.device)
