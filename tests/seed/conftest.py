"""The fixtures of `seed_home`, for every test of the seed's engine."""

from seed_home import *  # noqa: F403
