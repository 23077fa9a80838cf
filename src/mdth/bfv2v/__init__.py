"""The seed's BFv2v generator and head-pose network in torch. Extra `seed`.

Written from face-vid2vid (Wang et al., CVPR 2021, arXiv 2011.15126), FOMM (Siarohin et al., NeurIPS
2019) and SPADE (Park et al., CVPR 2019) and the layout of the published checkpoints. `export` is
its face.
"""
