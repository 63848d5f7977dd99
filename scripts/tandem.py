"""Runs a Tandem command from a bare clone: python3 scripts/tandem.py COMMAND --help."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - who runs this may have an older one
    sys.exit(f"Tandem needs Python 3.11 or newer; this is {sys.version.split()[0]}.")

from ready.bare import register_clone


def main() -> int:
    register_clone()
    from comfyui_tandem.cli import main as run_command

    return run_command(sys.argv[1:], prog="scripts/tandem.py")


if __name__ == "__main__":
    sys.exit(main())
