"""Poses, faces, and where people are."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..detector import Detector, Param
from ..networks.dense_run import dense
from ..networks.dwpose import load_dwpose
from ..networks.movenet import load_movenet
from ..networks.part_fields import load_part_fields
from ..networks.person_mask import load_person_mask
from ..reference.detectors import load_face, load_openpose
from ..weights import WeightFile
from .edges import AUX, ONNX
from .hub import annotator, converted
from .shapes import IMAGENET_NET

POSE = ("control_v11p_sd15_openpose", "control_sd15_openpose")
STICKS = "coloured sticks on black, a colour for each limb"
CMU = "CMU OpenPose, non-commercial research use"

pose_entry = partial(
    Detector,
    family="pose",
    channels=3,
    polarity=STICKS,
    fits=POSE,
    bytes_per_pixel=0.03,
    looks_for="person",
)
mask_entry = partial(Detector, family="mask", channels=1, fits=(), bytes_per_pixel=0.1, params=())

HANDS = Param("hands", 1, 0, 1, "1: hands as well.", whole=True)
FACE = Param("face", 1, 0, 1, "1: faces as well.", whole=True)

OPENPOSE = (
    annotator("body_pose_model.pth", CMU),
    annotator("hand_pose_model.pth", CMU),
    annotator("facenet.pth", CMU),
)
# Hashes and sizes, here and of U2-Net-p: as several public programs that download the publishers'
# files name them.
DWPOSE = (
    WeightFile(
        "yolox_l.onnx",
        "Apache-2.0",
        repo="yzd-v/DWPose",
        sha256="7860ae79de6c89a3c1eb72ae9a2756c0ccfbe04b7791bb5880afabd97855a411",
        bytes=216746733,
    ),
    WeightFile(
        "dw-ll_ucoco_384.onnx",
        "Apache-2.0",
        repo="yzd-v/DWPose",
        sha256="724f4ff2439ed61afb86fb8a1951ec39c6220682803b4a8bd4f598cd913b1843",
        bytes=134399116,
    ),
)
MOVENET = converted(
    "movenet_lightning_192.onnx",
    "Apache-2.0",
    "movenet_single_pose_lightning_ptq.tflite of google-coral/test_data on GitHub",
)
PART_FIELDS = converted(
    "openpose_mobilenet_368x432.onnx",
    "MIT, parts Apache-2.0",
    "mobilenet_v2_pose_dm10_368_432_weight_quant.tflite of PINTO0309/MobileNetV2-PoseEstimation "
    "on GitHub",
)
SELFIE = converted(
    "selfie_256.onnx",
    "Apache-2.0",
    "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite of the package mediapipe",
)
U2NET = WeightFile(
    "u2netp.onnx",
    "Apache-2.0",
    published="github.com/danielgatis/rembg/releases/download/v0.0.0/u2netp.onnx",
    sha256="309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
    bytes=4574861,
)

PEOPLE = (
    pose_entry(
        name="openpose",
        title="Pose (OpenPose)",
        about="People as sticks, with hands and faces; slow.",
        load=load_openpose,
        files=OPENPOSE,
        packages=AUX,
        licence=CMU,
        commercial=False,
        params=(HANDS, FACE),
        seconds_per_mpixel=30.0,  # of one person; 9.3 without hands and face
        memory_mb=560.0,
    ),
    pose_entry(
        name="dwpose",
        title="Pose (DWPose)",
        about="People as sticks, with hands and faces; the most accurate.",
        load=load_dwpose,
        files=DWPOSE,
        packages=ONNX,
        licence="Apache-2.0",
        params=(
            HANDS,
            FACE,
            Param("confidence", 0.3, 0.0, 1.0, "Joints less sure than this are left out."),
        ),
        seconds_per_mpixel=20.0,  # not measured: by its multiplications
        memory_mb=800.0,  # not measured
    ),
    pose_entry(
        name="openpose_small",
        title="Pose (small OpenPose)",
        about="Several people as sticks; best when they stand upright.",
        load=load_part_fields,
        files=(PART_FIELDS,),
        packages=ONNX,
        licence=PART_FIELDS.licence,
        params=(Param("peak", 0.1, 0.01, 1.0, "Joints of a lower peak than this are left out."),),
        seconds_per_mpixel=0.5,
        memory_mb=85.0,
    ),
    pose_entry(
        name="movenet",
        title="Pose (MoveNet)",
        about="One person as sticks, in any posture; of several it picks one.",
        load=load_movenet,
        files=(MOVENET,),
        packages=ONNX,
        licence=MOVENET.licence,
        params=(Param("confidence", 0.3, 0.0, 1.0, "Joints less sure than this are left out."),),
        seconds_per_mpixel=0.03,
        memory_mb=27.0,
    ),
    Detector(
        name="face_mesh",
        title="Face mesh (MediaPipe)",
        about="The lines of faces.",
        family="face",
        load=load_face,
        packages=(*AUX, "mediapipe.python.solutions"),
        licence="Apache-2.0",
        params=(
            Param("faces", 1, 1, 10, "Most faces.", whole=True),
            Param("face_confidence", 0.5, 0.01, 1.0, "Faces less sure than this are left out."),
        ),
        channels=3,
        polarity="coloured face lines on black",
        fits=("control_v2p_sd15_mediapipe_face",),
        seconds_per_mpixel=0.15,
        memory_mb=50.0,
        bytes_per_pixel=0.03,
        looks_for="face",
    ),
    mask_entry(
        name="person_mask",
        title="Person mask",
        about="Where people are; animals and round things may pass for people.",
        load=load_person_mask,
        files=(SELFIE,),
        packages=ONNX,
        licence=SELFIE.licence,
        polarity="people are white",
        seconds_per_mpixel=0.012,
        memory_mb=30.0,
        looks_for="person",
    ),
    mask_entry(
        name="subject_mask",
        title="Subject mask (U2-Net-p)",
        about="Where the main subject is, whatever it is.",
        load=dense(replace(IMAGENET_NET, height=320, width=320)),
        files=(U2NET,),
        packages=ONNX,
        licence=U2NET.licence,
        polarity="the subject is white",
        seconds_per_mpixel=0.8,  # not measured: by its multiplications
        memory_mb=150.0,  # not measured
    ),
)
