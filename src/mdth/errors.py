"""What can go wrong, each named for what the user can do.

Every message says what, where, and what to do.
"""

import errno
import re
import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Made = TypeVar("Made")

# What MediaPipe and OpenCV link on Linux and no Python package brings.
SYSTEM_LIBRARIES = ("libEGL.so.1", "libGLESv2.so.2", "libGL.so.1", "libglib-2.0.so.0")
INSTALL_LIBRARIES = "sudo apt-get install -y libegl1 libgles2 libgl1 libglib2.0-0"
LEAST_ADDRESS_SPACE = 2_000_000_000
_MISSING_LIBRARY = re.compile(
    r"(lib[\w+.-]+\.so[.\d]*): (?:cannot open shared object|file too short|invalid ELF)"
)
_NO_MEMORY = re.compile(
    r"bad_?alloc|[Oo]ut ?[Oo]f ?[Mm]emory|not enough memory|([Cc]annot|[Cc]an't|ailed to) allocate|"
    r"can't start new thread|failed to map seg|cannot map zero-fill"
)


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


def ours(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """The function, from which nothing but an MdthError comes."""

    @wraps(function)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if isinstance(error, MdthError):
                raise
            raise in_words(error) from error

    return called


def check_address_space() -> None:
    """Raises MdthError where libraries would crash without a word for want of it."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if 0 < limit < LEAST_ADDRESS_SPACE:
        raise MdthError(
            f"the address space is limited to {limit // 1_000_000} MB (see ulimit -v); "
            f"{LEAST_ADDRESS_SPACE // 1_000_000} MB are needed"
        )


def in_words(error: Exception) -> MdthError:
    """What Python, the system or a library raised, as an error of ours."""
    said = str(error)
    if isinstance(error, MdthError):
        return error
    if found := _MISSING_LIBRARY.search(said):
        return MissingDependency(
            f"{found[1]}, a library of the system, is missing or damaged; on Debian or Ubuntu run: "
            f"{INSTALL_LIBRARIES}"
        )
    if isinstance(error, MemoryError) or _NO_MEMORY.search(said):
        return LimitExceeded("not enough memory; end other programs, or use less")
    if isinstance(error, OSError):
        return StorageError(_of_system(error))
    if "embedded null" in said:
        return InputError("a name of a file holds a NUL character; give one without")
    if isinstance(error, ImportError):
        return MissingDependency(f"{said}; install mdth again")
    *outer, (file, line, *_) = [("?", 0), *traceback.extract_tb(error.__traceback__)]
    if isinstance(error, TypeError) and len(outer) == 1:  # in the call itself
        return InputError(said)
    where = f"{type(error).__name__} in line {line} of {file}"
    return MdthError(f"{said} ({where}); a fault of mdth, please report it")


def _of_system(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        of = "" if where else ", or that of temporary files (TMPDIR)"
        return f"{where}the disk is full{of}; free some space and run again"
    if error.errno == errno.EFBIG:
        return f"{where}no file may be so large (see ulimit -f); free some space, or allow it"
    if isinstance(error, BrokenPipeError):
        return "the reader closed the pipe"
    if error.errno in (errno.EROFS, errno.EACCES):
        return f"{where}{error.strerror}; change its rights, or choose another place"
    return f"{where}{error.strerror or error}"
