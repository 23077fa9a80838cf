"""The seed's BFv2v generator and head-pose network in torch. Extra `seed`.

Written from face-vid2vid (Wang et al., CVPR 2021, arXiv 2011.15126), FOMM (Siarohin et al., NeurIPS
2019) and SPADE (Park et al., CVPR 2019) and the layout of the published checkpoints.
`checkpoint` loads, `predictor.Predictor` renders, `devices.render` spreads a clip over GPUs.
"""

from importlib.util import find_spec

from mdth.errors import MissingDependency

if find_spec("torch") is None:
    raise MissingDependency("the seed's generator needs torch; run: pip install 'mdth[seed]'")
