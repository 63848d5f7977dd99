"""Whether a run can see what a MODEL's UNet computes on its way: an exported one shows nothing."""

from __future__ import annotations

from comfy.model_patcher import ModelPatcher

HIDDEN = "tandem_hidden_features"  # attachment of a MODEL


def hide_features(model: ModelPatcher) -> None:
    """Mark a clone whose UNet does not run block by block."""
    model.set_attachments(HIDDEN, True)


def shows_features(model: ModelPatcher) -> bool:
    return model.get_attachment(HIDDEN) is None
