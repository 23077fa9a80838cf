"""Reading and writing files safely: arrays, checkpoints, outside models."""
