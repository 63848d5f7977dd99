"""Shows the main job with nothing prepared: python3 scripts/demo.py [--photo FILE] [--help].

Makes `.venv`, gets a ComfyUI, and then runs `tandem demo` in it.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - who runs this may have an older one
    sys.exit(f"Tandem needs Python 3.11 or newer; this is {sys.version.split()[0]}.")

import argparse
from typing import NoReturn

from ready.bare import register_clone
from ready.commands import become
from ready.setup import guarded, make_ready


def main() -> NoReturn:
    register_clone()
    from comfyui_tandem.cli.demo import add_options

    parser = argparse.ArgumentParser(description="Shows Tandem's main job.", allow_abbrev=False)
    add_options(parser)
    wanted = parser.parse_args()  # a wrong option ends here, before anything is installed
    ready = make_ready(wanted.comfyui)
    command = [ready.python, "-m", "comfyui_tandem.cli", "demo", *sys.argv[1:]]
    become([*command, "--comfyui", ready.comfyui], {})


if __name__ == "__main__":
    guarded(main)
