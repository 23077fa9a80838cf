"""A portrait and driving meshes -> frames."""
