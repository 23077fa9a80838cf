"""Which sounds, pictures and clips are read, and how much of one: what people record and make.

FFmpeg knows hundreds of kinds more, of games, devices and playlists. Playlists, scripts and
subtitles name other files; devices and still pictures are no recordings; the rest is code that
nobody needs and few have tested. What is not named here is refused before any of its code sees the
file. The limits lie well above an hour of speech, a phone's largest picture, a clip in 4K; what a
file costs whoever reads it is bounded by `mdth.guard`.
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

_SOUND_FORMATS = (
    "aac ac3 aiff amr ape asf au caf dsf dss dts dtshd eac3 flac iff loas mlp mp3 mpc mpc8 "
    "nistsphere ogg qcp qoa sox tak truehd tta voc w64 wav wv xwma"
)
_CLIP_FORMATS = (
    "avi dv flv gif h263 h264 hevc ivf m4v matroska mov mpeg mpegts mpegvideo mxf nut obu rm "
    "vc1 wtv yuv4mpegpipe"
)
FORMATS = ",".join(f"{_SOUND_FORMATS} {_CLIP_FORMATS}".split())

_SOUND_CODECS = frozenset(
    "aac aac_latm ac3 adpcm_ima_qt adpcm_ima_wav adpcm_ms adpcm_swf adpcm_yamaha alac amrnb amrwb "
    "ape cook dca dsd_lsbf dsd_lsbf_planar dsd_msbf dsd_msbf_planar dss_sp dst dvaudio eac3 evrc "
    "flac g722 g723_1 g726 g726le gsm gsm_ms ilbc libopus libopencore_amrnb libopencore_amrwb mlp "
    "mp1 mp1float mp2 mp2float mp3 mp3float mpc7 mpc8 nellymoser opus qcelp qoa s302m shorten "
    "speex tak truehd truespeech tta vorbis wavpack wmalossless wmapro wmav1 wmav2 wmavoice "
    "pcm_alaw pcm_bluray pcm_dvd pcm_f16le pcm_f24le pcm_f32be pcm_f32le pcm_f64be pcm_f64le "
    "pcm_mulaw pcm_s16be pcm_s16be_planar pcm_s16le pcm_s16le_planar pcm_s24be pcm_s24le "
    "pcm_s24le_planar pcm_s32be pcm_s32le pcm_s32le_planar pcm_s64be pcm_s64le pcm_s8 "
    "pcm_s8_planar pcm_u16be pcm_u16le pcm_u24be pcm_u24le pcm_u32be pcm_u32le pcm_u8".split()
)
_CLIP_CODECS = frozenset(
    "apv av1 cfhd cinepak dirac dnxhd dvvideo ffv1 ffvhuff flv gif h261 h263 h263i h263p h264 hevc "
    "huffyuv indeo3 indeo4 indeo5 libdav1d libvpx libvpx-vp9 magicyuv mjpeg mpeg1video mpeg2video "
    "mpeg4 mpegvideo msmpeg4 msmpeg4v1 msmpeg4v2 msrle msvideo1 png prores qtrle rawvideo rpza "
    "rv10 rv20 rv30 rv40 svq1 svq3 theora utvideo v210 v308 v408 v410 vc1 vp3 vp6 vp6a vp6f vp7 "
    "vp8 vp9 vvc wmv1 wmv2 wmv3".split()
)
CODECS = {"audio": _SOUND_CODECS, "video": _CLIP_CODECS}
