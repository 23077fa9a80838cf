"""What can go wrong, each named for what the user can do.

Every message says what, where, and what to do.
"""


class MdthError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(MdthError):
    """What was given cannot be used."""


class MissingInput(InputError):
    """Nothing there: no file, no twin, no face or no sound among the inputs."""


class UnreadableMedia(InputError):
    """A file that is empty, not what it claims to be, or cannot be decoded."""


class NoFaceFound(InputError):
    """A picture or clip in which no usable face is found."""


class SpeechTooShort(InputError):
    """A sound of less than 0.3 s."""


class InvalidTwinId(InputError):
    """A twin id that is not a plain name."""


class ArtefactError(MdthError):
    """Prepared data that is stale, foreign or damaged."""


class CheckpointError(MdthError):
    """A model or asset that is missing or whose content is not the expected one."""


class StorageError(MdthError):
    """The store or the disk does not answer, refuses, or is full."""


class LimitExceeded(MdthError):
    """A job that needs more memory than it may have."""


class DeviceError(MdthError):
    """More devices were asked for than this machine has."""


class MissingDependency(MdthError):
    """An optional package is not installed; the message names the extra to install."""
