"""The two tasks of a twin: preprocess and inference. Each does nothing where all is done."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from mdth.engine import Progress
from mdth.errors import ours
from mdth.log.stages import about
from mdth.options import Choices, Options
from mdth.twins.output import Filming
from mdth.twins.plan import Plan, Step
from mdth.twins.prepared import Preparing
from mdth.twins.twin import Twin


@dataclass(frozen=True)
class Result:
    """What a task gives: the local folder or mp4, and whether anything was left to do.

    It is a path for whoever wants one, and true where it was done now.
    """

    path: Path
    done: bool

    def __fspath__(self) -> str:
        return str(self.path)

    def __bool__(self) -> bool:
        return self.done


@ours
def preprocess(
    twin_id: str,
    *,
    force: bool = False,
    progress: Progress | None = None,
    **choices: Unpack[Choices],
) -> Result:
    """Prepare a twin: raw files of the store -> speech and avatar, sealed and published.

    Gives the local folder. What is prepared already, from the same files by content, with the same
    settings, models and versions, is not computed again unless by `force`. Of the choices, those of
    portrait and engine count here. Raises MdthError.
    """
    options = Options.of(**choices)
    return _do(twin_id, lambda twin: Preparing(twin, options, force=force), progress)


@ours
def inference(
    twin_id: str,
    *,
    force: bool = False,
    progress: Progress | None = None,
    **choices: Unpack[Choices],
) -> Result:
    """Film a prepared twin: `output.mp4` and its record, locally and in the store.

    Gives the local mp4. The same prepared data, settings, models and versions are not filmed again
    unless by `force`. Raises MdthError: ArtefactError when the prepared data is stale or foreign.
    """
    return _do(twin_id, lambda twin: Filming(twin, choices, force=force), progress)


def foresee(
    task: str, twin_id: str, *, force: bool = False, **choices: Unpack[Choices]
) -> tuple[list[Step], bool]:
    """The steps of a task, and whether nothing is left to do. Raises what that raises.

    Input files are fetched to a folder of the system's for temporary files, to see which one can be
    used, and are gone afterwards.
    """
    twin = Twin.named(twin_id)
    with tempfile.TemporaryDirectory(prefix="mdth-") as name:
        plan: Plan
        if task == "inference":
            plan = Filming(twin, choices, force=force)
        else:
            plan = Preparing(twin, Options.of(**choices), force=force, folder=Path(name))
        return plan.steps(), plan.here is not None and plan.stored is not None


def _do(twin_id: str, decide: Callable[[Twin], Plan], progress: Progress | None) -> Result:
    twin = Twin.named(twin_id)
    with twin.alone(), about(twin_id):
        plan = decide(twin)
        return Result(plan.target.local / plan.target.main, plan.run(progress))
