"""Which engine makes a video: the embedded one, or the seed's from its owner's checkpoints."""

import logging
from dataclasses import replace

from mdth.errors import CheckpointError, MissingDependency
from mdth.options import EMBEDDED, SEED, Options
from mdth.seed.files import missing_packages, seed_files

log = logging.getLogger("mdth")

INSTALL = "pip install 'mdth[seed]'"


def resolved(options: Options) -> Options:
    """The options with the engine that "auto" stands for; the log says which and why.

    Raises CheckpointError naming every missing file, MissingDependency naming the extra, where the
    seed's engine is asked for and cannot run.
    """
    if options.engine == EMBEDDED:
        return options
    files, missing, packages = seed_files(), seed_files().missing(), missing_packages()
    if options.engine == SEED:
        if missing:
            raise CheckpointError(
                f"the seed's engine lacks {', '.join(map(str, missing))}; put its owner's "
                "checkpoints there, or use --engine embedded"
            )
        if packages:
            raise MissingDependency(
                f"the seed's engine needs {', '.join(packages)}; run: {INSTALL}"
            )
        return options
    if missing:
        there = len(files.needed()) - len(missing)
        say = log.warning if there else log.info
        say(
            "engine: embedded; %d of the seed's %d files are missing under %s (see: mdth doctor)",
            *(len(missing), len(files.needed()), files.common),
        )
        return replace(options, engine=EMBEDDED)
    if packages:
        log.warning(
            "engine: embedded; the seed's checkpoints are all there, but it needs %s; run: %s",
            *(", ".join(packages), INSTALL),
        )
        return replace(options, engine=EMBEDDED)
    log.info("engine: the seed's, as its checkpoints are all under %s", files.common)
    return replace(options, engine=SEED)
