"""One task for many twins: by processes of this machine, or by the actors of a Ray cluster."""
