"""python -m comfyui_tandem.cli COMMAND"""

import sys

from . import main

sys.exit(main())
