"""wav2vec2-base's published weights -> the encoder that training starts from.

Reads a folder of the Hugging Face form (`model.safetensors` or `pytorch_model.bin`) or one such
file. Heads for other tasks in the file are left out; the encoder's own names and shapes have to be
complete.
"""

import logging
from pathlib import Path

from torch import Tensor

from mdth.errors import CheckpointError
from mdth.faceformer.encoder import Wav2Vec2
from mdth.faceformer.network import published_name, read_weights
from mdth.files.state_dict import differences

log = logging.getLogger("mdth")

FILES = ("model.safetensors", "pytorch_model.bin")
PREFIX = "wav2vec2."


def load_encoder(encoder: Wav2Vec2, source: str) -> None:
    """Fill the encoder with published weights: a folder or a file.

    Raises CheckpointError: missing, damaged, or another model's.
    """
    path = weights_path(source)
    weights = read_safetensors(path) if path.suffix == ".safetensors" else read_weights(path)
    expected = {name: tuple(tensor.shape) for name, tensor in encoder.state_dict().items()}
    prefix = PREFIX if any(name.startswith(PREFIX) for name in weights) else ""
    own = {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix) and name.removeprefix(prefix) in expected
    }
    # Files of models that were only ever used, not trained, may lack the mask.
    own.setdefault("masked_spec_embed", encoder.masked_spec_embed.data)
    wrong = differences(expected, {name: tuple(tensor.shape) for name, tensor in own.items()})
    if wrong:
        raise CheckpointError(f"{path}: not this size of wav2vec2: {'; '.join(wrong)}")
    encoder.load_state_dict(own, strict=True)
    log.info("the encoder starts from %s", path)


def weights_path(source: str) -> Path:
    """The file of weights that a folder or a file stands for."""
    path = Path(source)
    if path.is_file():
        return path
    if path.is_dir():
        for name in FILES:
            if (path / name).is_file():
                return path / name
        raise CheckpointError(f"{path}: none of {', '.join(FILES)} in it")
    raise CheckpointError(f"{source}: no such folder or file")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Names and float32 tensors of a `.safetensors` file. Raises CheckpointError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); fetch it again") from error
    return {published_name(name): tensor.float() for name, tensor in found.items()}
