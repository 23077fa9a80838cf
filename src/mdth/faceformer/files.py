"""Where FaceFormer's files lie under the seed's `warping-common/th`. Needs nothing to import."""

from pathlib import Path

SUBJECT = "FaceTalk_170725_00137_TA"
"""The training subject as whom the seed speaks, on whose template."""


def flame_files(common: Path) -> list[Path]:
    """What `flame_speech` reads: FLAME, landmarks, template, pose, network."""
    faceformer = common / "checkpoints/faceformer"
    return [
        common / "flame/generic_model.pkl",
        common / "flame/flame_static_embedding.pkl",
        faceformer / f"{SUBJECT}.ply",
        faceformer / "params.npy",
        faceformer / "vocaset.pth",
    ]


def biwi_files(common: Path) -> list[Path]:
    """What `load_biwi_speech` reads: network, templates, landmarks."""
    names = ("biwi.pth", "biwi_templates.pkl", "biwi_landmarks.txt")
    return [common / "checkpoints/faceformer" / name for name in names]
