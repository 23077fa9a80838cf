"""The seed's FaceFormer in torch (Fan et al., CVPR 2022, arXiv 2112.05329). Extra `seed`.

Written from the paper and the layout of the published checkpoints. `export` is its face.
"""
