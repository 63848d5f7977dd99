"""`python -m comfyui_tandem.benchmarks NAME [--quick] [--json FILE]`: one claim, measured.

A benchmark is a module here whose docstring is the claim, with `Settings` (the full run),
`QUICK` and `measure(settings) -> figures`. `EXACT` names figures that do not depend on the
machine, `NEAR` such that may differ by so much; `--quick` fails where one differs from the
committed full run by more.

A module with `PART_OF = NAME` adds figures to that benchmark. What it is made of is kept apart, so
that a kept run is extended without being repeated.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from ..engine.errors import BadInput, TandemError
from .machine import describe_machine

HERE = Path(__file__).parent
RESULTS = HERE / "results"
KEPT = HERE.parent / "test_output" / "benchmarks"  # parts of long runs


def names() -> list[str]:
    """Modules that measure a claim."""
    files = sorted(HERE.glob("[a-z]*.py"))
    texts = {file.stem: file.read_text("utf-8") for file in files}
    return [n for n, text in texts.items() if "def measure(" in text and "PART_OF = " not in text]


def more_of(name: str) -> list[ModuleType]:
    """Modules that add figures to the benchmark of that name."""
    files = sorted(HERE.glob(f"{name}_*.py"))
    added = [file.stem for file in files if f'PART_OF = "{name}"' in file.read_text("utf-8")]
    return [importlib.import_module(f".{module}", __package__) for module in added]


def find(name: str) -> ModuleType:
    """The benchmark of that name.

    Raises:
        BadInput: there is none.
    """
    if name not in names():
        raise BadInput("benchmark", name, f"choose one of {', '.join(names())}")
    return importlib.import_module(f".{name}", __package__)


def run(
    name: str, quick: bool, keep: Path | None = None, folders: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The result in its JSON form.

    A full run of parts keeps them in `keep` and goes on from those that are there.

    Args:
        folders: of models, in place of those in the benchmark's settings.
    Raises:
        BadInput: `keep` is given, but the benchmark is not made of parts; or a folder that it has
            no use for.
    """
    benchmark, more = find(name), more_of(name)
    settings, *added = [one.QUICK if quick else one.Settings() for one in (benchmark, *more)]
    for option, folder in (folders or {}).items():
        if option not in {field.name for field in fields(settings)}:
            raise BadInput(f"--{option}", folder, f"leave it out, {name} has no use for it")
        settings = replace(settings, **{option: folder})
    machine = describe_machine()  # with its load before ours
    began = time.perf_counter()
    if hasattr(benchmark, "parts"):
        folder = None if quick else keep or KEPT / name
        figures = benchmark.measure(settings, folder)
        for one, its in zip(more, added, strict=True):
            figures |= one.measure(its, folder)
    elif keep is not None:
        raise BadInput("--keep", str(keep), f"{name} is not made of parts, run it whole")
    else:
        figures = benchmark.measure(settings)
    return {
        "name": name,
        "quick": quick,
        "settings": asdict(settings)
        | {option: Path(folder).name for option, folder in (folders or {}).items()}
        | {one.__name__.split(".")[-1]: asdict(its) for one, its in zip(more, added, strict=True)},
        "figures": figures,
        "seconds": round(time.perf_counter() - began, 1),
        "machine": machine,
    }


def table(result: dict[str, Any], claim: str) -> str:
    """The figures for a person."""
    width = max(len(key) for key in result["figures"])
    rows = [f"{key:<{width}}  {value:.6g}" for key, value in result["figures"].items()]
    took = f"{result['seconds']:.0f} s{', quick' if result['quick'] else ''}"
    return "\n".join([claim.strip().splitlines()[0], *rows, f"({took}; {result['machine']})"])


def differences(benchmark: ModuleType, result: dict[str, Any]) -> list[str]:
    """Figures that should not depend on the machine, and differ from the committed run."""
    file = RESULTS / f"{result['name']}.json"
    if not file.exists():
        return []
    committed, now = json.loads(file.read_text("utf-8"))["figures"], result["figures"]
    allowed: dict[str, float] = {}
    for one in (benchmark, *more_of(result["name"])):
        allowed |= dict.fromkeys(getattr(one, "EXACT", ()), 0.0) | getattr(one, "NEAR", {})
    return [
        f"{key}: {now.get(key)} now, {committed.get(key)} committed"
        for key, most in allowed.items()
        if key not in now or key not in committed or abs(now[key] - committed[key]) > most
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="comfyui_tandem.benchmarks", description=__doc__)
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(names())}")
    parser.add_argument("--quick", action="store_true", help="under 45 s; times are not compared")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where finished parts of it lie")
    parser.add_argument("--folder", metavar="DIR", help="models in place of the shipped family's")
    parser.add_argument("--trained", metavar="DIR", help="of tandem train: members to compare with")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        benchmark = find(args.name)
        given = {"folder": args.folder, "trained": args.trained}
        folders = {option: folder for option, folder in given.items() if folder}
        result = run(args.name, args.quick, args.keep, folders)
    except TandemError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(table(result, benchmark.__doc__ or args.name) + "\n")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    wrong = differences(benchmark, result) if args.quick else []
    sys.stderr.writelines(f"not as committed: {line}\n" for line in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
