"""A picture and a clip, prepared as the seed's networks expect them."""
