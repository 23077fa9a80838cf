"""Sound as it comes -> speech tokens in context, with bounded memory.

The transformer of the encoder sees windows on the absolute frame grid: hop h gives the frames
[h H, (h + 1) H) and is computed from the frames [h H - P, (h + 1) H + L), cut at the clip's ends,
so how the sound is cut into blocks changes nothing. A window waits until its look-ahead is heard.

The CNN runs on each window's new sound alone (it is local but for its group norm) and its features
are kept while a window needs them. Its statistics are fixed ones if given, which makes the features
those of the whole clip; otherwise the running ones: over all sound from the start to the end of
the new sound, so to the end of the window that first needs the features.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mdth.faceformer.config import FEATURE_RATE_HZ, Config
from mdth.faceformer.encoder import HOP, feature_count, sample_count
from mdth.faceformer.network import Network
from mdth.faceformer.statistics import SoundStatistics


@dataclass(frozen=True)
class Windows:
    """Past, hop and look-ahead of the encoder's transformer, in seconds.

    A frame comes out at most `look_ahead_s` after its sound.
    """

    past_s: float
    hop_s: float
    ahead_s: float

    @property
    def look_ahead_s(self) -> float:
        """The first frame of a hop waits for the hop and what lies ahead of it."""
        return self.hop_s + self.ahead_s


STREAM = Windows(past_s=3.0, hop_s=0.6, ahead_s=0.4)
LONG = Windows(past_s=20.0, hop_s=40.0, ahead_s=20.0)


class WindowedEncoder:
    """One sound's speech tokens, block by block.

    statistics: of the whole clip, where it is known; running ones are gathered without.
    features: how many the whole clip has, where it is known: then positions are those of the whole
    clip. Without, frame i lies at feature i * 50 / fps exactly (the whole clip stretches its
    frames by less than a feature over its length, so that the last meets the last feature).
    """

    def __init__(
        self,
        network: Network,
        windows: Windows,
        *,
        statistics: SoundStatistics | None = None,
        features: int | None = None,
    ) -> None:
        config = network.config
        self.network, self.config = network, config
        self.past = round(windows.past_s * config.fps)
        self.hop = max(1, round(windows.hop_s * config.fps))
        self.ahead = round(windows.ahead_s * config.fps)
        self.known = statistics
        self.statistics = statistics or SoundStatistics()
        self.step = _features_per_token(config, features)
        weight = network.audio_feature_map.weight
        self.sound = torch.empty(0, device=weight.device)
        self.sound_start = self.heard = 0
        self.features = torch.empty(0, config.encoder.conv_dim[-1], device=weight.device)
        self.features_start = self.windows_done = 0

    def hear(self, samples: Tensor) -> Iterator[Tensor]:
        """The windows that the next samples [N] complete: [frames * tokens_per_frame, width]."""
        self.sound = torch.cat([self.sound, samples.to(self.sound)])
        while len(self.sound) + self.sound_start >= sample_count(needed := self._needed()):
            self._advance(needed)
            yield self._window(end=None)

    def finish(self) -> Iterator[Tensor]:
        """The windows left when the sound has ended."""
        end = self.sound_start + len(self.sound)
        self._gather(end)
        features = feature_count(end)
        frames = self.config.frames(features)
        self._advance(features)
        while self.windows_done * self.hop < frames:
            yield self._window(end=frames)

    def _needed(self) -> int:
        """Features that the next window reads up to."""
        frames = (self.windows_done + 1) * self.hop + self.ahead
        last = (frames * self.config.tokens_per_frame - 1) * self.step
        return math.floor(last + 1e-6) + (2 if self.config.resamples else 1)

    def _advance(self, needed: int) -> None:
        """Compute the features up to `needed` from the sound at hand."""
        first = self.features_start + len(self.features)
        if needed <= first:
            return
        end = sample_count(needed)
        self._gather(end)
        piece = self.sound[first * HOP - self.sound_start : end - self.sound_start]
        extractor = self.network.audio_encoder.feature_extractor
        self.features = torch.cat([self.features, extractor(piece, self.statistics)])
        self.sound = self.sound[needed * HOP - self.sound_start :].clone()
        self.sound_start = needed * HOP

    def _gather(self, end: int) -> None:
        """Running statistics up to the sample `end`; none are gathered where they are known."""
        if self.known is None and end > self.heard:
            self.statistics.hear(self.sound[self.heard - self.sound_start : end - self.sound_start])
            self.heard = end

    def _window(self, *, end: int | None) -> Tensor:
        """The next window's own tokens; `end` is the clip's number of frames, if it has ended."""
        first = self.windows_done * self.hop
        start, own_end = max(0, first - self.past), first + self.hop
        stop = own_end + self.ahead
        if end is not None:
            own_end, stop = min(own_end, end), min(stop, end)
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


def _features_per_token(config: Config, features: int | None) -> float:
    if features is None or not config.resamples:
        return FEATURE_RATE_HZ / config.token_rate_hz
    return (features - 1) / max(1, config.frames(features) - 1)
