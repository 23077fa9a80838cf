"""How much of a sound, picture or clip is taken for one that somebody made.

They lie well above what people make: an hour of speech, a phone's largest picture, a clip in 4K.
What a file costs whoever reads it is bounded by `mdth.guard`.
"""

from fractions import Fraction

# Any container.
MOST_DAMAGED_PACKETS = 10_000
THREADS = 4  # of a decoder; each holds a picture of its own

# Sound.
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
MOST_CHANNELS = 64
LONGEST_SOUND_S = 12 * 3600

# Clips.
LOWEST_FPS, HIGHEST_FPS = Fraction(1), Fraction(120)
LONGEST_CLIP_S = 3600
SMALLEST_SIDE_PX, LARGEST_SIDE_PX = 2, 8192
LARGEST_CLIP_PIXELS = 36_000_000  # 8K
LARGEST_DUBBED_PIXELS = 4096 * 2304  # 8K would take 3 GB and 2 s a frame

# Pictures.
LARGEST_PIXELS = 160_000_000  # 12,000 x 12,000 and some; decoded it takes 640 MB
