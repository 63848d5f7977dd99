"""The client against a real worker process."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import DETECTORS, ConditionRequest, detect
from comfyui_tandem.engine.offload.client import Cancelled, WorkerClient, WorkerFailed
from comfyui_tandem.engine.offload.workers import WorkerEntry

from .conftest import FORMULAS, TOKEN, Running, make_photo

NEVER = threading.Event()


@pytest.mark.parametrize("name", FORMULAS)
def test_remote_result_is_the_local_one(client: WorkerClient, name: str) -> None:
    photo, request = make_photo(200, 300, seed=1), ConditionRequest(name, 256)
    answer = client.preprocess(request, photo, cancelled=NEVER, deadline_s=20)
    np.testing.assert_array_equal(answer.picture, detect(request, photo))
    assert answer.compute_s > 0 and answer.down.bytes > 0


def test_photo_goes_up_once(client: WorkerClient) -> None:
    photo = make_photo(seed=2)
    first = client.upload(photo, cancelled=NEVER, deadline_s=20)
    assert first is not None and first.bytes > 0 and first.seconds > 0
    assert client.upload(photo, cancelled=NEVER, deadline_s=20) is None
    answer = client.preprocess(ConditionRequest("tile"), photo, cancelled=NEVER, deadline_s=20)
    assert answer.up is None


def test_restarted_client_finds_its_photo(running: Running) -> None:
    photo = make_photo(seed=3)
    for expected in (True, False):
        client = WorkerClient(running.entry)
        sent = client.upload(photo, cancelled=NEVER, deadline_s=20)
        client.close()
        assert (sent is not None) is expected


def test_capabilities(client: WorkerClient) -> None:
    found = client.capabilities()
    assert set(found.detectors) == set(DETECTORS)
    usable = {name: state for name, state in found.detectors.items() if state.usable}
    assert set(usable) >= set(FORMULAS)
    assert all(usable[name].seconds_per_mpixel for name in FORMULAS)
    assert found.slots == 1 and found.round_trip_s > 0


def test_worker_refuses_a_value(client: WorkerClient) -> None:
    wrong = ConditionRequest("canny", params={"low": 999})
    with pytest.raises(WorkerFailed) as caught:
        client.preprocess(wrong, make_photo(), cancelled=NEVER, deadline_s=20)
    assert caught.value.code == "bad_param" and not caught.value.retryable
    assert "999" in str(caught.value)


def test_wrong_token_says_what_to_do(running: Running) -> None:
    client = WorkerClient(WorkerEntry("shed", running.url, TOKEN[::-1]))
    with pytest.raises(WorkerFailed, match="registry") as caught:
        client.capabilities()
    assert caught.value.code == "bad_token"
    assert TOKEN[::-1] not in str(caught.value) + repr(caught.value) + repr(client.entry)


def test_wrong_token_on_an_upload_is_told_too(running: Running) -> None:
    client = WorkerClient(WorkerEntry("shed", running.url, TOKEN[::-1]))
    with pytest.raises(WorkerFailed) as caught:  # HEAD answers without a body
        client.upload(make_photo(seed=11), cancelled=NEVER, deadline_s=20)
    assert caught.value.code == "bad_token"


def test_nobody_there() -> None:
    client = WorkerClient(WorkerEntry("shed", "http://127.0.0.1:9", TOKEN))
    with pytest.raises(WorkerFailed) as caught:
        client.capabilities()
    assert caught.value.code == "refused"
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.code == "refused"


def test_cancelled_before_it_began(client: WorkerClient) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        client.preprocess(
            ConditionRequest("canny", 2048), make_photo(seed=9), cancelled=cancelled, deadline_s=20
        )
