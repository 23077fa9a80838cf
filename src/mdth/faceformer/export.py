"""What FaceFormer gives to the rest of the project. Raises MissingDependency without torch."""

from importlib.util import find_spec

from mdth.errors import MissingDependency

if find_spec("torch") is None:
    raise MissingDependency("the seed's FaceFormer needs torch; run: pip install 'mdth[seed]'")

from mdth.faceformer.flame_speech import FlameSpeech, SpokenLandmarks, load_biwi_speech
from mdth.faceformer.predictor import FaceFormer

__all__ = ["FaceFormer", "FlameSpeech", "SpokenLandmarks", "load_biwi_speech"]
