"""The seed's engine: FaceFormer, FLAME and BFv2v by their owner's checkpoints."""
