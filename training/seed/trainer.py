"""FaceFormer's training: steps over a corpus, scores, and a run of them in a folder."""

import json
import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mdth.faceformer.decoder import Decoder
from mdth.faceformer.network import Network
from training.seed import forward
from training.seed.corpus import Clip, Corpus, mean_offsets, normalised, of_split, offsets
from training.seed.run import Trained, save_weights
from training.seed.settings import STATE, Settings

log = logging.getLogger("mdth")

SCORES = "scores.json"
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Lesson(NamedTuple):
    """One clip on the device. heard: [T50,C] CNN features, or [N] sound where the CNN is trained.

    truth: offsets [T,V*3]. subject: the column of `obj_vector`.
    """

    heard: Tensor
    truth: Tensor
    subject: int


class Trainer:
    """Steps over a corpus's training clips, in an order that follows from the random seed alone."""

    def __init__(
        self, corpus: Corpus, network: Network, settings: Settings, *, device: str = "cpu"
    ) -> None:
        self.corpus, self.settings = corpus, settings
        self.device = torch.device(device)
        self.network = network.to(self.device).requires_grad_(True)
        self.network.audio_encoder.feature_extractor.requires_grad_(settings.train_cnn)
        self.clips = of_split(corpus, "train")
        learnt = [weight for weight in self.network.parameters() if weight.requires_grad]
        scaled = settings.precision == "fp16" and self.device.type == "cuda"
        self.trained = Trained(
            self.network,
            torch.optim.Adam(learnt, lr=settings.rate),
            torch.amp.GradScaler(self.device.type, enabled=scaled),
        )
        self._heard: dict[str, Tensor] = {}
        torch.manual_seed(settings.random_seed)

    def step(self) -> float:
        """One step of Adam, over one clip; its loss."""
        self.network.train()
        for group in self.trained.optimizer.param_groups:
            group["lr"] = self.settings.rate_at(self.trained.step)
        self.trained.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.lesson(self._clip(self.trained.step)))
        self.trained.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.trained.scaler.step(self.trained.optimizer)
        self.trained.scaler.update()
        self.trained.step += 1
        return float(loss.detach())

    def loss(self, lesson: Lesson) -> Tensor:
        """Mean squared error of a clip's vertices, in the unit of the meshes squared."""
        network, settings = self.network, self.settings
        with self._autocast():
            heard = lesson.heard
            if settings.train_cnn:
                heard = forward.features(network, heard)
            memory = forward.speech(network, heard, masked=settings.masked)
            tokens = network.config.tokens_per_frame
            frames = min(len(memory) // tokens, len(lesson.truth))
            memory, truth = memory[: frames * tokens], lesson.truth[:frames]
            if settings.feedback == "taught":
                found = forward.taught(network, memory, truth, lesson.subject)
            else:
                told = torch.rand(frames) < self._told()
                found = forward.unrolled(network, memory, lesson.subject, truth=truth, told=told)
        return (found.float() - truth).square().mean()

    def lesson(self, clip: Clip) -> Lesson:
        """A clip on the device; features of a frozen CNN are kept in memory (0.1 MB a second)."""
        truth = torch.from_numpy(offsets(self.corpus, clip)).flatten(1).to(self.device)
        names = self.network.config.names
        subject = names.index(clip.subject) if clip.subject in names else 0
        sound = self._heard.get(clip.name)
        if sound is None:
            sound = torch.from_numpy(normalised(self.corpus.sound(clip))).to(self.device)
            if not self.settings.train_cnn:
                with torch.no_grad():
                    sound = forward.features(self.network, sound)
                self._heard[clip.name] = sound
        return Lesson(sound, truth, subject)

    @torch.no_grad()
    def predict(self, clip: Clip) -> tuple[Tensor, Tensor]:
        """Predicted and true offsets [T,V*3] of a clip, by the decoder that serves."""
        self.network.eval()
        lesson = self.lesson(clip)
        heard = lesson.heard
        if self.settings.train_cnn:
            heard = forward.features(self.network, heard)
        memory = forward.speech(self.network, heard)
        found = self.network.vertice_map_r(Decoder(self.network, lesson.subject).frames(memory))
        frames = min(len(found), len(lesson.truth))
        return found[:frames], lesson.truth[:frames]

    def score(self, clips: list[Clip], baseline: Tensor) -> dict[str, float]:
        """Mean squared error of some clips, and that of the mean face [V*3] of the training set.

        A subject that is not trained on speaks as the first that is.
        """
        mine, still, frames = 0.0, 0.0, 0
        for clip in clips:
            found, truth = self.predict(clip)
            frames += len(truth)
            mine += float((found - truth).square().mean(dim=1).sum())
            still += float((baseline - truth).square().mean(dim=1).sum())
        return {"predicted": mine / frames, "mean face": still / frames}

    def _clip(self, number: int) -> Clip:
        """The clip at a place in the endless sequence of shuffled rounds."""
        turn, place = divmod(number, len(self.clips))
        order = torch.Generator().manual_seed(1_000_003 * self.settings.random_seed + turn)
        return self.clips[int(torch.randperm(len(self.clips), generator=order)[place])]

    def _told(self) -> float:
        """The share of frames that hear the truth."""
        if self.settings.feedback == "own":
            return 0.0
        return max(0.0, 1 - self.trained.step / max(1, self.settings.schedule_steps))

    def _autocast(self) -> torch.autocast:
        kind = PRECISIONS.get(self.settings.precision)
        on = kind is not None and self.device.type == "cuda"
        return torch.autocast(self.device.type, kind, enabled=on)


class Times(NamedTuple):
    """When a run looks up. steps: in all. score_every: steps. save_every_s: seconds."""

    steps: int
    score_every: int = 1000
    save_every_s: float = 180.0
    scored_clips: int = 16


def train(trainer: Trainer, folder: Path, times: Times) -> dict[str, float]:
    """Train until `times.steps`, going on from `folder` if it holds a state; the last scores."""
    trained, settings = trainer.trained, trainer.settings
    scores: list[dict[str, float]] = []
    if (folder / STATE).is_file():
        trained.load(folder, settings)
        scores = [score for score in read_scores(folder) if score["step"] <= trained.step]
    held_out = [clip for clip in trainer.corpus.clips if clip.split == "val"][: times.scored_clips]
    mean = mean_offsets(trainer.corpus, trainer.clips)
    baseline = torch.from_numpy(mean).flatten().to(trainer.device)
    saved, losses = time.monotonic(), []
    while trained.step < times.steps:
        losses.append(trainer.step())
        if trained.step % times.score_every == 0 or trained.step == times.steps:
            found = {"step": trained.step, "training": sum(losses) / len(losses)}
            if held_out:
                found |= trainer.score(held_out, baseline)
            scores.append(found)
            losses = []
            log.info("%s", ", ".join(f"{name} {value:.4g}" for name, value in found.items()))
        if time.monotonic() - saved > times.save_every_s or trained.step == times.steps:
            trained.save(folder, settings)
            save_weights(trainer.network, folder)
            record = {"settings": asdict(settings), "held out": len(held_out), "scores": scores}
            (folder / SCORES).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
            saved = time.monotonic()
    return scores[-1] if scores else {}


def read_scores(folder: Path) -> list[dict[str, float]]:
    """The scores of a run so far; none if it has none that can be read."""
    try:
        scores: list[dict[str, float]] = json.loads((folder / SCORES).read_text("utf-8"))["scores"]
    except (OSError, ValueError, KeyError):
        return []
    return scores
