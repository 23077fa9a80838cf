# Shared by demo, test, check and bench: a fitting Python, system libraries, .venv. Source it.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# MediaPipe and OpenCV link these; no Python package brings them.
SYSTEM_LIBRARIES="libEGL.so.1 libGLESv2.so.2 libGL.so.1 libglib-2.0.so.0"
SYSTEM_PACKAGES="libegl1 libgles2 libgl1 libglib2.0-0"
# The newest torch with a small build for the CPU that tests of the training code are known to pass.
TORCH="torch==2.13.0"
# What tests compare our own code with; both want torch.
COMPARED="smplx>=0.1.28 torchmetrics>=1.9"

stop() {
    echo "$*" >&2
    exit 1
}

fits() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
        >/dev/null 2>&1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3 python; do
        # Asked to run, not only looked up: a version manager's stand-in may exist and not work.
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    stop "Python 3.11 to 3.14 with venv is needed; on Debian: apt-get install python3 python3-venv"
}

missing_libraries() {
    [ "$(uname -s)" = Linux ] || return 0
    "$1" - $SYSTEM_LIBRARIES <<'PYTHON'
import ctypes
import sys

for name in sys.argv[1:]:
    try:
        ctypes.CDLL(name)
    except OSError:
        print(name)
PYTHON
}

# Where this is root on Debian; fails anywhere else.
install_packages() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 1
    echo "installing $*"
    apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

need_libraries() {
    local missing
    missing=$(missing_libraries "$1")
    [ -n "$missing" ] || return 0
    install_packages $SYSTEM_PACKAGES && missing=$(missing_libraries "$1")
    [ -z "$missing" ] || stop "system libraries are missing ($(echo $missing)); run: \
sudo apt-get update && sudo apt-get install -y $SYSTEM_PACKAGES"
}

# The page is tried in a real browser.
want_browser() {
    command -v chromium >/dev/null || install_packages chromium >/dev/null 2>&1 ||
        echo "no chromium: tests of the page will be skipped; on Debian: apt-get install chromium"
}

# What is installed is written down, so that the second run installs nothing.
stamp() {
    cat pyproject.toml constraints.txt scripts/lib.sh | cksum
}

installed() {
    [ -f ".venv/mdth-$1" ] && [ "$(cat ".venv/mdth-$1")" = "$(stamp)" ]
}

# make_environment core|serve|test: .venv with the package, to serve, and for tests what they need.
make_environment() {
    local python
    python=$(find_python)
    need_libraries "$python"
    [ "$1" = core ] || want_browser
    if installed test || installed "$1"; then
        return
    fi
    if ! fits .venv/bin/python; then
        echo "making .venv with $("$python" --version)"
        "$python" -m venv --clear .venv
    fi
    echo "installing the package ($1); the first time takes a few minutes"
    # Of what training needs, onnx, scipy and scikit-image are light enough for every run of the tests.
    local packages=(-e .)
    [ "$1" = core ] || packages=(-e ".[$1]")
    [ "$1" != test ] || packages+=(onnx scipy scikit-image)
    # Python compiles on first use what is used; all of it would take a minute.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
        -c constraints.txt "${packages[@]}"
    [ "$1" != test ] || install_torch
    stamp >".venv/mdth-$1"
}

# Only a build that lies ready in a local folder (PIP_FIND_LINKS) is taken: the registry's own is
# several GB. Without it the tests of the training code and of the seed's engine are skipped.
install_torch() {
    if .venv/bin/python -m pip install --quiet --no-compile --no-index --no-deps "$TORCH" 2>/dev/null; then
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile \
            -c constraints.txt "$TORCH" -e ".[seed]" $COMPARED
    else
        echo "no local build of $TORCH: tests of training and of the seed's engine will be skipped"
    fi
}

fetch_assets() {
    .venv/bin/mdth assets fetch >/dev/null
}

# run_tests ARGUMENTS...: pytest in up to four processes, each file in one of them, one thread each;
# in the order of tests/conftest.py.
run_tests() {
    export OMP_NUM_THREADS=1
    .venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder "$@"
}
