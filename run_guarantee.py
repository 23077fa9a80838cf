"""The seed's command line.

python run_guarantee.py --model TH --task preprocess --twin-id th_test --n-gpus 1
python run_guarantee.py --model TH --task inference --twin-id th_test --n-gpus 1
"""

import sys

from mdth.cli import guarantee

if __name__ == "__main__":
    sys.exit(guarantee())
