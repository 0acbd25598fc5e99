#!/bin/sh
# Prints the Python that `make setup` makes .venv with: `python3` on the path, unless it is one that was built without optimisation (as pyenv
# does when not told otherwise: everything takes half as long again, see docs/performance.md) and the system has one of its own, which
# distributions always build optimised. `make PYTHON=...` overrules.
set -eu

usable() {
  "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

optimised() {
  "$1" -c 'import sys, sysconfig; sys.exit("--enable-optimizations" not in (sysconfig.get_config_var("CONFIG_ARGS") or ""))' 2>/dev/null
}

first=$(command -v python3 || echo python3)
system=${SYSTEM_PYTHON:-/usr/bin/python3}
if ! optimised "$first" && usable "$system"; then
  echo "$system"
else
  echo "$first"
fi
