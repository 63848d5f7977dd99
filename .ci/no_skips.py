"""Fails when tests that need a ComfyUI or a browser did not run: no_skips.py JUNIT_XML."""

from __future__ import annotations

import sys
from collections import Counter
from xml.etree import ElementTree

NEEDED = ("tests.server.", "tests.browser.", "tests.inside.")


def main(file: str) -> int:
    ran: Counter[str] = Counter()
    skipped: list[str] = []
    for case in ElementTree.parse(file).iter("testcase"):  # noqa: S314 - pytest has just written it
        room = next((room for room in NEEDED if case.get("classname", "").startswith(room)), None)
        if room is None:
            continue
        found = case.find("skipped")
        if found is None:
            ran[room] += 1
        elif found.get("type") == "pytest.skip":  # an expected failure is another type
            skipped.append(f"{case.get('classname')}::{case.get('name')}: {found.get('message')}")
    for room in NEEDED:
        print(f"{room}* {ran[room]} ran")
    for line in skipped:
        print(f"skipped: {line}")
    return 1 if skipped or not all(ran[room] for room in NEEDED) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
