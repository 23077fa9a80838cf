"""A long sound in blocks -> speech tokens in context, with bounded memory.

The transformer of the encoder sees windows on the absolute frame grid: hop h gives the frames
[h H, (h + 1) H) and is computed from the frames [h H - P, (h + 1) H + L), cut at the clip's ends,
so how the sound is cut into blocks changes nothing.

The CNN runs on each window's new sound alone (it is local but for its group norm, which has the
statistics of the whole clip) and its features are kept while a window needs them.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mdth.faceformer.config import FEATURE_RATE_HZ
from mdth.faceformer.encoder import HOP, feature_count, sample_count
from mdth.faceformer.network import Network
from mdth.faceformer.statistics import SoundStatistics


@dataclass(frozen=True)
class Windows:
    """Past, hop and look-ahead of the encoder's transformer, in seconds."""

    past_s: float
    hop_s: float
    ahead_s: float


LONG = Windows(past_s=20.0, hop_s=40.0, ahead_s=20.0)


class WindowedEncoder:
    """One sound's speech tokens, block by block; `statistics` are of all of it."""

    def __init__(self, network: Network, windows: Windows, statistics: SoundStatistics) -> None:
        config = network.config
        self.network, self.config, self.statistics = network, config, statistics
        self.past = round(windows.past_s * config.fps)
        self.hop = max(1, round(windows.hop_s * config.fps))
        self.ahead = round(windows.ahead_s * config.fps)
        self.feature_count = feature_count(statistics.samples)
        self.frames = config.frames(self.feature_count)
        self.step = FEATURE_RATE_HZ / config.token_rate_hz
        if config.resamples:
            # The first and the last frame lie on the first and the last feature.
            self.step = (self.feature_count - 1) / max(1, self.frames - 1)
        weight = network.audio_feature_map.weight
        self.sound = torch.empty(0, device=weight.device)
        self.sound_start = 0
        self.features = torch.empty(0, config.encoder.conv_dim[-1], device=weight.device)
        self.features_start = self.windows_done = 0

    def hear(self, samples: Tensor) -> Iterator[Tensor]:
        """The windows that the next samples [N] complete: [frames * tokens_per_frame, width]."""
        self.sound = torch.cat([self.sound, samples.to(self.sound)])
        while self.windows_done * self.hop < self.frames:
            needed = self._needed()
            if self.sound_start + len(self.sound) < sample_count(needed):
                return
            self._advance(needed)
            yield self._window()

    def _needed(self) -> int:
        """Features that the next window reads up to."""
        frames = (self.windows_done + 1) * self.hop + self.ahead
        last = (frames * self.config.tokens_per_frame - 1) * self.step
        more = 2 if self.config.resamples else 1
        return min(math.floor(last + 1e-6) + more, self.feature_count)

    def _advance(self, needed: int) -> None:
        """Compute the features up to `needed` from the sound at hand."""
        first = self.features_start + len(self.features)
        if needed <= first:
            return
        end = sample_count(needed)
        piece = self.sound[first * HOP - self.sound_start : end - self.sound_start]
        extractor = self.network.audio_encoder.feature_extractor
        self.features = torch.cat([self.features, extractor(piece, self.statistics)])
        self.sound = self.sound[needed * HOP - self.sound_start :].clone()
        self.sound_start = needed * HOP

    def _window(self) -> Tensor:
        """The next window's own tokens."""
        first = self.windows_done * self.hop
        start, own_end = max(0, first - self.past), min(first + self.hop, self.frames)
        stop = min(own_end + self.ahead, self.frames)
        tokens = self.config.tokens_per_frame
        speech = self.network.speech(self._tokens(start * tokens, stop * tokens))
        self.windows_done += 1
        self._forget(max(0, own_end - self.past) * tokens)
        return speech[(first - start) * tokens : (own_end - start) * tokens]

    def _tokens(self, start: int, stop: int) -> Tensor:
        """Features at the places of the tokens start..stop-1, [stop - start, C]."""
        if not self.config.resamples:
            return self.features[start - self.features_start : stop - self.features_start]
        place = torch.arange(start, stop, dtype=torch.float64) * self.step
        left = place.floor()
        weight = (place - left).float().to(self.features.device)[:, None]
        index = left.long().to(self.features.device) - self.features_start
        last = len(self.features) - 1
        before, after = index.clamp_max(last), (index + 1).clamp_max(last)
        return torch.lerp(self.features[before], self.features[after], weight)

    def _forget(self, token: int) -> None:
        """Drop the features before a token that no window reads any more."""
        keep = min(math.floor(token * self.step), self.features_start + len(self.features))
        self.features = self.features[keep - self.features_start :].clone()
        self.features_start = keep
