"""Speech -> a mesh per frame, with a published FaceFormer checkpoint."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mdth.artefacts import SPEECH_RATE_HZ
from mdth.errors import InputError
from mdth.faceformer.config import DATASETS, Config
from mdth.faceformer.decoder import Decoder
from mdth.faceformer.encoder import feature_count
from mdth.faceformer.network import Network, load_network
from mdth.faceformer.static import StaticDecoder, room_for
from mdth.faceformer.statistics import SoundStatistics
from mdth.faceformer.windows import LONG, WindowedEncoder
from mdth.media.speech import check_length

WHOLE_CLIP_S = 120.0
"""Up to this length the encoder sees the clip at once, as in training; above, in windows."""
LEAST_ROOM, RECORDED = 1024, 4
"""On a GPU: frames that every recorded step has room for, and steps kept for the next sounds."""

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

    def vertices(
        self,
        samples: FloatArray,
        template: FloatArray,
        subject: int | str,
        *,
        whole_clip_s: float | None = None,
    ) -> Vertices:
        """A mesh per frame, [T,V,3], for speech [N], as `meshes`."""
        blocks = self.meshes([samples], template, subject, whole_clip_s=whole_clip_s)
        return np.concatenate(list(blocks))

    @torch.inference_mode()
    def meshes(
        self,
        sound: Iterable[FloatArray],
        template: FloatArray,
        subject: int | str,
        *,
        whole_clip_s: float | None = None,
    ) -> Iterator[Vertices]:
        """A mesh per frame, some at a time [n,V,3], for speech in blocks [n], mono, 16 kHz.

        sound: gone through twice, as the encoder needs the statistics and length of all of it.
        template: [V,3], the person's neutral face. subject: whose way of speaking.
        Above `whole_clip_s` (`WHOLE_CLIP_S`) the encoder works in windows (`windows.LONG`), and
        memory stays bounded. Raises InputError for wrong shapes, SpeechTooShort under 0.3 s.
        """
        speaker, start = self.subject(subject), self._template(template)
        statistics = SoundStatistics()
        for samples in sound:
            statistics.hear(self._sound(samples))
        check_length(statistics.samples)
        decoder = self._decoder(speaker, self.config.frames(feature_count(statistics.samples)))
        out = self.network.vertice_map_r
        limit_s = WHOLE_CLIP_S if whole_clip_s is None else whole_clip_s
        try:
            for speech in self._speech(map(self._sound, sound), statistics, limit_s):
                hidden = decoder.frames(speech)
                made = torch.addmm(start + out.bias, hidden, out.weight.T)
                yield made.view(len(made), -1, 3).cpu().numpy()
        finally:
            self._put_back(decoder)

    def _decoder(self, speaker: int, frames: int) -> Decoder | StaticDecoder:
        """A decoder that knows nothing yet; on a GPU a recorded one, an idle one if there is."""
        if not is_recorded(self.network.vertice_map_r.bias.device):
            return Decoder(self.network, speaker)
        room = room_for(max(frames, LEAST_ROOM))
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

    def _speech(
        self, sound: Iterable[Tensor], statistics: SoundStatistics, whole_clip_s: float
    ) -> Iterator[Tensor]:
        """What the decoder attends to, in one piece or in windows."""
        if statistics.samples <= whole_clip_s * SPEECH_RATE_HZ:
            extractor = self.network.audio_encoder.feature_extractor
            features = extractor(torch.cat(list(sound)), statistics)
            yield self.network.speech(self.network.aligned(features))
            return
        encoder = WindowedEncoder(self.network, LONG, statistics)
        for samples in sound:
            yield from encoder.hear(samples)

    def _sound(self, samples: FloatArray) -> Tensor:
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
