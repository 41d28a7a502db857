"""The entry of the self-contained program that scripts/dist.py freezes; an installed wheel has entries of its own."""  # noqa: INP001 - no package

from __future__ import annotations

import os
import sys

from kubectl_flux.main import main

if __name__ == "__main__":
    # The loader points the dynamic linker at the program's own libraries. kubectl and what it runs want the system's.
    original = os.environ.pop("LD_LIBRARY_PATH_ORIG", "")
    os.environ.pop("LD_LIBRARY_PATH", None)
    if original:
        os.environ["LD_LIBRARY_PATH"] = original
    sys.exit(main())
