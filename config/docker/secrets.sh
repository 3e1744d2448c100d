#!/bin/sh
# Make a password for every role of docker-compose.yml, once: each file is left alone that exists.
# Usage: sh config/docker/secrets.sh [DIRECTORY]   (default: secrets)
set -eu
directory=${1:-secrets}

# Containers read the files under users of their own; the directory keeps out who is on this host.
mkdir -p "$directory"
chmod 700 "$directory"
umask 022

# Letters and digits only, as some of them become part of a URL.
password() {
    [ -e "$directory/$1" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$directory/$1"
}

url() {
    [ -e "$directory/$1" ] ||
        printf 'postgresql://%s:%s@postgres:5432/billing' "$2" "$(cat "$directory/$3")" >"$directory/$1"
}

for role in postgres migrator service reader amqp grafana; do
    password "${role}_password"
done
url migrate_url billing_migrator migrator_password
url database_url billing_service service_password
echo "$directory: $(ls "$directory" | wc -l) secrets"
