#!/usr/bin/env bash
# Make a virtual environment, with what a bare Debian lacks for it.
# Usage: venv.sh PYTHON DIRECTORY
set -euo pipefail
python=$1 directory=$2

fail() {
    echo "$1" >&2
    exit 1
}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "Python 3.11 or later is needed; $python is not. Try: make PYTHON=python3.12 ..."

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ]; then sudo=; else sudo="sudo -n"; fi
    [ -z "$sudo" ] || sudo -n true 2>/dev/null ||
        fail "python3-venv is missing. Install it as root: apt-get install python3-venv rabbitmq-server postgresql"
    echo "installing python3-venv"
    { $sudo apt-get update -qq && $sudo apt-get install -qq -y --no-install-recommends python3-venv; } \
        >/dev/null 2>&1 || fail "python3-venv is missing. Install it as root: apt-get install python3-venv"
fi

echo "building $directory (a minute the first time)"
"$python" -m venv --clear "$directory"
