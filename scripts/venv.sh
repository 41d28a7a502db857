#!/usr/bin/env bash
# Makes .venv with exactly what requirements.lock pins, hashes checked, and this package in it.
set -euo pipefail
cd "$(dirname "$0")/.."

# A Python that is new enough and can make virtual environments: Debian ships the means apart.
suitable() {
  "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
    if suitable "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

make_environment() {
  local python
  if ! python=$(find_python) && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    scripts/apt-install.sh python3 python3-venv
  fi
  python=$(find_python) || {
    echo "Python 3.11 or newer with venv is needed (Debian: apt-get install python3-venv); set PYTHON to name it." >&2
    exit 1
  }
  rm -rf .venv
  "$python" -m venv .venv
}

# One that is there is brought up to date: that takes a second, and what runs from it goes on.
if ! .venv/bin/python -m pip --version >/dev/null 2>&1 || ! suitable .venv/bin/python; then
  make_environment
fi
pinned=$(mktemp)
trap 'rm -f "$pinned"' EXIT
# uv's own entry in the lock, hashes and all.
awk '/^uv==/ { on = 1 } on { print; if ($0 !~ /\\$/) exit }' requirements.lock >"$pinned"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$pinned"
export VIRTUAL_ENV="$PWD/.venv"
# Behind a company's proxy only the system knows whom to trust.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
  export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS-true}"
fi
.venv/bin/uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation -e .
