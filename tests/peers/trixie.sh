#!/usr/bin/env bash
# Logs in to the servers of Debian 13: Prosody 13 and ejabberd 24.12, which bind to tls-exporter and, the latter, speak SASL2.
# Takes a folder, fills it with Debian 13 unless it is there (root; half a gigabyte, about 2 minutes), and runs the tests on it.
# No service is started but those of the tests, on loopback.
set -euo pipefail
root=${1:?usage: tests/peers/trixie.sh FOLDER [MIRROR]}
# The mirror that this machine uses for its own packages.
mirror=${2:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | sed -n 1p)}
cd "$(dirname "$0")/../.."

if [ ! -e "$root/usr/sbin/ejabberdctl" ]; then
    debootstrap --variant=minbase --include=ca-certificates trixie "$root" "$mirror"
    # Packages start no service of their own in there.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod +x "$root/usr/sbin/policy-rc.d"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    chroot "$root" apt-get update -qq
    chroot "$root" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends prosody ejabberd lua-unbound
fi
root=$(realpath "$root")
COUNTERSIGN_TRIXIE=$root cargo test --package countersign --features dns,cpace,aws-lc-rs --test interop_trixie -- --nocapture
