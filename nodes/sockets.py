"""Tandem's own socket types; everything else is a core type."""

from __future__ import annotations

from comfy_api.latest import io

Conditions = io.Custom("TANDEM_CONDITIONS")  # tuple[Condition, ...]
Edge = io.Custom("TANDEM_EDGE")  # tuple[str, ...]: aliases of workers
OptionsSocket = io.Custom("TANDEM_OPTIONS")  # Options
Plan = io.Custom("TANDEM_PLAN")  # Offload
Profiles = io.Custom("TANDEM_PROFILES")  # dict[str, Profile], by lane
Hints = io.Custom("TANDEM_HINTS")  # tuple[Hint, ...]
ScalesSocket = io.Custom("TANDEM_SCALES")  # Scales
