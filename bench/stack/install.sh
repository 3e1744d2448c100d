#!/bin/sh
# Installs the Debian packages named as arguments, and nothing that would go on running afterwards:
# their services are neither started nor left enabled, and PostgreSQL makes no cluster of its own.
# Runs as root. What was configured on this machine before stays as it was.
set -u
export DEBIAN_FRONTEND=noninteractive

services="rabbitmq-server.service epmd.socket epmd.service postgresql.service pgbouncer.service
prometheus.service redis-server.service"
policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.d
no_cluster=$clusters/zz-billing-service-install.conf
own_policy=
own_directory=

# What `systemctl is-enabled` looks at; packages enable their services without systemd, too.
enabled() {
    for link in /etc/systemd/system/*.wants/"$1"; do
        [ ! -L "$link" ] || return 0
    done
    return 1
}

disable() {
    if command -v systemctl >/dev/null; then
        systemctl --quiet disable "$1"
    else
        rm -f /etc/systemd/system/*.wants/"$1"
    fi
}

clean_up() {
    rm -f "$no_cluster"
    [ -z "$own_directory" ] || rmdir "$clusters" 2>/dev/null
    [ -z "$own_policy" ] || rm -f "$policy"
    for service in $services; do
        case " $enabled_before " in
        *" $service "*) ;;
        *) ! enabled "$service" || disable "$service" ;;
        esac
    done
}

enabled_before=
for service in $services; do
    ! enabled "$service" || enabled_before="$enabled_before $service"
done
trap clean_up EXIT
trap 'exit 130' HUP INT TERM

if [ ! -e "$policy" ]; then
    own_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" || exit 1
fi
[ -d "$clusters" ] || own_directory=yes
mkdir -p "$clusters" && echo "create_main_cluster = false" >"$no_cluster" || exit 1

# Another apt may be at work, as it often is on a machine that has just been started.
apt-get -o DPkg::Lock::Timeout=300 update &&
    apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "$@"
