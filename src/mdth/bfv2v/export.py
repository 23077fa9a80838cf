"""What BFv2v gives to the rest of the project. Raises MissingDependency without torch."""

from importlib.util import find_spec

from mdth.errors import MissingDependency

if find_spec("torch") is None:
    raise MissingDependency("the seed's generator needs torch; run: pip install 'mdth[seed]'")

from mdth.bfv2v.checkpoint import load_generator, load_headpose
from mdth.bfv2v.devices import Files, Renderers, Source
from mdth.bfv2v.landmarks import SCALE, Landmarks
from mdth.bfv2v.predictor import warm

__all__ = [
    "SCALE", "Files", "Landmarks", "Renderers", "Source", "load_generator", "load_headpose", "warm",
]  # fmt: skip
