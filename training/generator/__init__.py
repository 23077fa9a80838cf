"""Training of the seed's generator (`mdth.bfv2v`), as face-vid2vid is trained.

python -m training.generator.pack CLIPS work/generator/clips.npz
python -m training.generator work/generator/clips.npz work/generator/run --minutes 20

docs/training.md tells which losses apply and what a run needs.
"""
