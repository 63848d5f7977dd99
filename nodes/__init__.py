"""Graph nodes: sockets in, one engine call, NodeOutput out."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .model_folders import offer_family_files


class TandemExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        from .apply import ApplyConditions
        from .conditions import ConditionFromFile, ConditionOfHint, MakeCondition
        from .detect import Detect
        from .detector_choice import open_detectors
        from .exported import RunExported, RunExportedControlNet, offer_exported
        from .fast import FastSampler
        from .models import FitControlNet, LatentConsistency, LoadCompactModel, LoadLora
        from .offload import EdgeWorker, PlanOffload, RunConditions
        from .options import EdgeOptions, LineOptions, PeopleOptions, PictureOptions, SurfaceOptions
        from .profile import LoadProfile
        from .scales import EstimateScales, Report
        from .scenes import DemoSceneNode

        open_detectors()
        offer_family_files()
        offer_exported()
        return [
            MakeCondition,
            EdgeWorker,
            PlanOffload,
            RunConditions,
            ApplyConditions,
            LoadCompactModel,
            ConditionFromFile,
            Detect,
            EdgeOptions,
            LineOptions,
            SurfaceOptions,
            PeopleOptions,
            PictureOptions,
            DemoSceneNode,
            LoadProfile,
            FitControlNet,
            LatentConsistency,
            LoadLora,
            FastSampler,
            ConditionOfHint,
            EstimateScales,
            Report,
            RunExported,
            RunExportedControlNet,
        ]
