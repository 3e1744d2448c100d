#!/bin/sh
# Runs a command as on another Debian, whose /usr is laid over this machine's for this command and
# its children alone; all other directories stay as they are. Must be root.
# Usage: with_usr.sh DIRECTORY COMMAND...
set -eu
usr=$1/usr
shift
exec unshare --mount --propagation private \
    sh -ec 'mount --bind "$0" /usr; exec "$@"' "$usr" "$@"
