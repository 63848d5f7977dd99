"""What detectors take on a device: chosen, shown, planned with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from comfy_api.latest import io

from ..engine.errors import BadInput
from ..engine.offload import LOCAL, Profile
from ..engine.offload.profile_file import OwnProfiles, read_profile, shipped_profiles
from .checks import check_choice
from .model_folders import user_folder
from .offload import aliases
from .sockets import Profiles

HERE = "this machine"
OWN = "own: "


def files() -> dict[str, Path]:
    """Profiles to choose from: those that come with the pack, then the user's own."""
    own = OwnProfiles(user_folder())
    return {**shipped_profiles(), **{f"{OWN}{lane}": own.path(lane) for lane in own.lanes}}


class LoadProfile(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        names = list(files())
        return io.Schema(
            node_id="TandemProfile",
            display_name="Device Profile",
            category="Tandem/offload",
            description="What each detector takes on a device, measured by `tandem profile`. "
            "Plan Offload plans a lane by it instead of by that lane's own figures.",
            inputs=[
                io.Combo.Input(
                    "profile",
                    options=names,
                    tooltip="own: what was measured here with `python scripts/tandem.py profile` "
                    "in the pack's folder. The others come with the pack.",
                ),
                io.Combo.Input(
                    "lane",
                    options=[HERE, *aliases()],
                    default=HERE,
                    tooltip="Whose times these are taken for.",
                ),
                Profiles.Input("previous", optional=True, tooltip="Profiles of further lanes."),
            ],
            outputs=[
                Profiles.Output("profiles", "profiles"),
                io.String.Output("summary", "summary"),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, profile: str, lane: str, previous: None = None) -> str:
        """What was measured; what runs have shown since is not part of it, or each would rerun."""
        found = files().get(profile)
        if found is None:
            return ""
        measured = asdict(replace(read_profile(found), ratios={}))
        return hashlib.sha256(json.dumps(measured).encode()).hexdigest()

    @classmethod
    def execute(
        cls, profile: str, lane: str, previous: dict[str, Profile] | None = None
    ) -> io.NodeOutput:
        known = files()
        check_choice("profile", profile, list(known))
        check_choice("lane", lane, [HERE, *aliases()])
        found = read_profile(known[profile])
        if not found.measured:
            do = "measure with `python scripts/tandem.py profile` in the pack's folder"
            raise BadInput("profile", f"{profile}, never measured", do)
        chosen = {**(previous or {}), LOCAL if lane == HERE else lane: found}
        return io.NodeOutput(chosen, summary(found, lane))


def summary(profile: Profile, lane: str) -> str:
    """The measurements as a Markdown table, which the editor's text preview reads."""
    rows = [
        f"| {row.detector} | {row.resolution} | {row.warm_s:.3f} | {row.cold_s:.3f} | "
        f"{'-' if row.cpu_s is None else f'{row.cpu_s:.3f}'} | "
        f"{'-' if row.memory_bytes is None else f'{row.memory_bytes / 2**20:.0f}'} | "
        f"{row.hint_bytes / 1000:.0f} |"
        for row in profile.measured
    ]
    head = "| detector | px | warm s | cold s | CPU s | MB | hint kB |"
    told = f"{profile.name} for {lane}: {profile.device}, measured {profile.date}"
    return "\n".join([told, "", head, "|---|---|---|---|---|---|---|", *rows])
