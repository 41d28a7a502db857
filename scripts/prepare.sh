#!/usr/bin/env bash
# Installs the programs that the slower tests run, where they are missing and can be had: as root on Debian.
# Elsewhere it names them and goes on; the tests that need one are left out, and say so.
set -euo pipefail
cd "$(dirname "$0")/.."

# program:package
wanted=(git:git openssl:openssl ssh-keygen:openssh-client sshd:openssh-server ip:iproute2 nsenter:util-linux
  objcopy:binutils memcached:memcached)
export PATH="$PATH:/usr/sbin:/sbin"

packages=()
for pair in "${wanted[@]}"; do
  command -v "${pair%%:*}" >/dev/null || packages+=("${pair##*:}")
done
# make dist builds a program around Python's shared library, which Debian ships apart.
shared=$(.venv/bin/python -c 'import sys; print("libpython%d.%d" % sys.version_info[:2] if sys.base_prefix == "/usr" else "")')
if [ -n "$shared" ] && ! ldconfig -p | grep -qF "$shared.so"; then
  packages+=("$shared")
fi
if [ ${#packages[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    echo "Not Debian: please install what provides ${packages[*]} to run every test." >&2
  elif [ "$(id -u)" != 0 ]; then
    echo "Not root: to run every test, first apt-get install ${packages[*]}" >&2
  else
    scripts/apt-install.sh "${packages[@]}"
  fi
fi
for program in kubectl go; do
  command -v "$program" >/dev/null || echo "$program is missing: the tests on a real control plane need it." >&2
done
