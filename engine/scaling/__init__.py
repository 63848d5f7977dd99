"""Scales of conditions that need no guessing: measured on the first steps, redundant ones pruned.

After the abstract of arXiv 2605.08836, whose formulas are not public: ours stand in `pushes`,
`cover` and `rule`, which need neither ComfyUI nor torch, as does importing this.
"""

FOLDER = "scales"  # of the user's folder: what `tandem calibrate scales` learned
