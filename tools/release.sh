#!/usr/bin/env bash
# Makes the archive that is handed out: tools/release.sh [--binary PATH] [--out DIR]
#
# Without --binary the service is built with the profile `dist`, for every x86-64 processor since Haswell and Zen (TARGET_CPU
# names another), with no path of this machine in it. In the archive, as it is unpacked under /usr/local (docs/installing.md):
# the stripped program, the demo bundle, every setting with its meaning, a systemd unit, the contract, and for everything that
# is compiled in a bill of materials (CycloneDX) and the texts of the licences. The same input gives the same bytes: names in
# order, one time (SOURCE_DATE_EPOCH, else that of the last commit), nobody's user. Prints the archive's path.
#
# Needs what the build needs, python3, GNU tar and binutils; nothing from the network that the build has not fetched.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=
out=target/archive
while [ $# -gt 0 ]; do
    case $1 in
        --binary) binary=$(realpath "$2"); shift 2 ;;
        --out) out=$2; shift 2 ;;
        *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
done

host=$(rustc -vV | sed -n 's/^host: //p')
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
name=reasonedit-$version-$host

if [ -z "$binary" ]; then
    homes="--remap-path-prefix=$PWD=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
    RUSTFLAGS="-C target-cpu=${TARGET_CPU:-x86-64-v3} $homes" cargo build --profile dist --locked -p reasonedit-cli >&2
    binary=target/dist/reasonedit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/$name
documents=$root/share/doc/reasonedit
mkdir -p "$root/bin" "$root/lib/systemd/system" "$root/share/reasonedit/models" "$documents"

cp "$binary" "$root/bin/reasonedit"
strip --strip-all "$root/bin/reasonedit"
cp -r models/demo "$root/share/reasonedit/models/demo"
cp config/default.toml "$root/share/reasonedit/default.toml"
cp tools/release/reasonedit.service "$root/lib/systemd/system/"
cp openapi.yaml LICENSE-MIT LICENSE-APACHE docs/installing.md docs/CHANGELOG.md "$documents/"
python3 tools/release/third_party.py "$host" "$epoch" "$documents/sbom.cdx.json" "$documents/third-party-licences.txt"

find "$root" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
chmod 755 "$root/bin/reasonedit"
mkdir -p "$out"
tar --create --directory "$work" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner \
    --format=posix --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime "$name" \
    | gzip --no-name -9 > "$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256")
echo "$out/$name.tar.gz"
