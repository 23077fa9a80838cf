"""Speech and a clip -> what drives the seed's generator, frame by frame."""
