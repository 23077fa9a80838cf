"""Training of the seed's FaceFormer, and reading of the sets it was published with.

`vocaset`, `biwi` and `tracked` read sound and meshes, `train` trains, `predict`
writes meshes of held-out clips for `training.mesh_compare`.
"""
