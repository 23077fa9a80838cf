"""Where the files of FaceFormer and FLAME lie below the seed's `warping-common/th`."""

from pathlib import Path

# The seed speaks as this training subject, on its template.
SUBJECT = "FaceTalk_170725_00137_TA"


def vocaset(common: Path) -> list[Path]:
    """FLAME, landmarks, template, pose and network, in the order in which they are loaded."""
    faceformer = common / "checkpoints/faceformer"
    return [
        common / "flame/generic_model.pkl",
        common / "flame/flame_static_embedding.pkl",
        faceformer / f"{SUBJECT}.ply",
        faceformer / "params.npy",
        faceformer / "vocaset.pth",
    ]


def biwi(common: Path) -> list[Path]:
    """Network, templates and landmarks; the last are its owner's to write."""
    faceformer = common / "checkpoints/faceformer"
    names = ("biwi.pth", "biwi_templates.pkl", "biwi_landmarks.txt")
    return [faceformer / name for name in names]
