"""How much of a media file is believed and decoded: every limit on sound, pictures and clips.

They lie well above what people make (an hour of speech, a phone's largest picture, a clip in 4K)
and below what would fill a machine: reading one file takes at most about 2 GB, and ends.
"""

from fractions import Fraction
from pathlib import Path

from mdth.errors import UnreadableMedia

# Any container.
MOST_STREAMS = 100
MOST_DAMAGED_PACKETS = 10_000
THREADS = 4  # of a decoder; each holds a picture of its own

# Sound.
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
MOST_CHANNELS = 64
LONGEST_SOUND_S = 12 * 3600
# Values, of all channels, that a file may unfold to: silence in Opus unfolds 4,000-fold at most.
MOST_VALUES, VALUES_PER_BYTE = 200_000_000, 4_000

# Clips.
LOWEST_FPS, HIGHEST_FPS = Fraction(1), Fraction(120)
LONGEST_CLIP_S = 3600
SMALLEST_SIDE_PX, LARGEST_SIDE_PX = 2, 8192
LARGEST_CLIP_PIXELS = 36_000_000  # 8K
LARGEST_DUBBED_PIXELS = 4096 * 2304  # 8K would take 3 GB and 2 s a frame
# 8K with 8 bits, or 4K with 16 bits and full colour; a decoder may hold twenty of these.
LARGEST_FRAME_BYTES = 56_000_000

# Pictures.
LARGEST_PIXELS = 160_000_000  # 12,000 x 12,000 and some; decoded it takes 640 MB
LARGEST_PIXELS_OF = {"WEBP": 100_000_000}  # its decoder keeps several copies: 1.6 GB
LARGEST_PICTURE_BYTES = 700_000_000
# A progressive JPEG has about ten scans; each passes over the whole picture again.
MOST_JPEG_SCANS = 100


def check_unfolded(path: Path, size: int, *, values: int, length_s: Fraction) -> None:
    """Raise UnreadableMedia where a sound file of `size` bytes fills a day or a disk.

    values: its samples, of all channels.
    """
    if length_s > LONGEST_SOUND_S:
        raise UnreadableMedia(
            f"{path}: the sound is longer than {LONGEST_SOUND_S // 3600} hours; cut it"
        )
    if values > MOST_VALUES + VALUES_PER_BYTE * size:
        raise UnreadableMedia(
            f"{path}: {size} bytes unfold to more than {float(length_s):.0f} s of sound, which no "
            "recording does; it is damaged"
        )
