"""When a client asks for a photo before it sends it."""

from __future__ import annotations

import pytest
from comfyui_tandem.engine.offload.known import Known
from comfyui_tandem.engine.offload.transfers import Transfer

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("size", "question_s", "worth"),
    [(99_000, 0.025, False), (101_000, 0.025, True), (1, 0.0, True)],
)
def test_worker_is_asked_where_sending_takes_much_longer(
    size: int, question_s: float, worth: bool
) -> None:
    known = Known()
    known.uplink.add(Transfer(1_000_000, 1.0))
    known.question_s = question_s
    assert known.is_worth_asking(size) is worth


def test_worker_of_an_unknown_link_is_asked() -> None:
    known = Known()
    known.question_s = 1.0
    assert known.is_worth_asking(1)
