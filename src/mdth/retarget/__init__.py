"""Portrait, motion and speech mesh to driving meshes."""
