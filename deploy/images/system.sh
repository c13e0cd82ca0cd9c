# Installs Debian packages while an image is built, and leaves neither lists nor logs: `sh system.sh PACKAGE…`.
# With a moment in $SNAPSHOT they are those of that moment, so that a build can be repeated.
set -eu
if [ -n "${SNAPSHOT:-}" ]; then
    rm -f /etc/apt/sources.list.d/*
    for archive in "debian bookworm" "debian bookworm-updates" "debian-security bookworm-security"; do
        echo "deb [check-valid-until=no] http://snapshot.debian.org/archive/${archive% *}/$SNAPSHOT ${archive#* } main"
    done >/etc/apt/sources.list
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@" >/dev/null
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache /var/lib/dpkg/*-old
rm -rf /var/log/apt /var/log/*.log
