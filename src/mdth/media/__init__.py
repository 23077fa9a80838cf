"""Sound, pictures and video in and out, all of it through PyAV and Pillow."""
