"""Portrait, speech and head -> driving meshes."""
