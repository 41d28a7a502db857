"""Writes the folder `deploy/`, the base of kustomize overlays: `python -m kubectl_flux.install deploy`.

Its kustomization.yaml is written by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

from kubectl_flux.install.options import InstallOptions
from kubectl_flux.install.render import render

BASE = InstallOptions(git_url="ssh://git@git.example.com/your/repository", git_label="", git_user="")
"""An overlay replaces the arguments, so they show no more than what every installation needs."""

if __name__ == "__main__":
    for name, text in render(BASE).items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
