"""The seed's FaceFormer in torch (Fan et al., CVPR 2022, arXiv 2112.05329). Extra `seed`.

Written from the paper and the layout of the published checkpoints. `predictor.FaceFormer` is the
public face.
"""

from importlib.util import find_spec

from mdth.errors import MissingDependency

if find_spec("torch") is None:
    raise MissingDependency("the seed's FaceFormer needs torch; run: pip install 'mdth[seed]'")
