#!/usr/bin/env bash
# Builds the SRP plugin of Cyrus SASL, which no package holds, from Debian's source package: build_cyrus.sh [FOLDER].
#
# Needs the Debian packages build-essential, dpkg-dev, libsasl2-dev, libsasl2-modules-db and libssl-dev; the tests that use
# it need sasl2-bin too. The system's own list of package sources is not changed.
set -euo pipefail
folder=${1:-$(dirname "$0")/../../target/peers/cyrus}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if [ -e "$folder/libsrp.so" ]; then
    echo "built already: $folder/libsrp.so"
    exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The archive that the installed packages come from, but its sources.
mkdir -p apt/parts apt/state/lists/partial apt/cache/archives/partial
apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) main' 'Created-By: Packages' 'Label: Debian' 'Component: main' |
    sort -u >apt/parts/source.list
apt() {
    apt-get -qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$work/apt/parts" \
        -o "Dir::State=$work/apt/state" -o "Dir::State::status=/var/lib/dpkg/status" \
        -o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User=root "$@"
}
apt update
# apt has checked it against the signed lists.
apt source --download-only cyrus-sasl2
dpkg-source --no-check --extract cyrus-sasl2_*.dsc source >/dev/null
cd source

# Nothing but SRP; the library it is loaded into is the installed one.
./configure --quiet --disable-static --with-dblib=none --without-saslauthd --without-pwcheck --without-authdaemond \
    --disable-gssapi --disable-otp --disable-scram --disable-digest --disable-cram --disable-plain --disable-anon \
    --enable-srp >configure.log 2>&1 || { cat configure.log >&2; exit 1; }
for part in 'include all' 'common all' 'plugins libsrp.la'; do
    # The files that autotools make are there, whatever their dates say.
    make -s -C ${part% *} ${part#* } ACLOCAL=: AUTOCONF=: AUTOHEADER=: AUTOMAKE=: >make.log 2>&1 || { cat make.log >&2; exit 1; }
done
# The plugin that reads sasldb has to be found in the same folder.
cp "/usr/lib/$(gcc -print-multiarch)/sasl2/libsasldb.so" "$folder"
cp plugins/.libs/libsrp.so "$folder"
echo "built: $folder/libsrp.so"
