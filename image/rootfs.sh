#!/usr/bin/env bash
# Lays out the image's root filesystem: the three binaries, the shared libraries they name, and the few files that
# the C library looks for. The Dockerfile uses it, and so do tests that make an image from binaries they have.
#
#   image/rootfs.sh BIN_DIR OUT_DIR
#
# BIN_DIR holds quorate-node, quorate and quorate-controller; OUT_DIR is made anew. Owners are whoever runs this:
# what packs the directory sets them. The user is 65532 (nonroot); of all this only /tmp can be written by it.
set -euo pipefail

die() { echo "rootfs: $*" >&2; exit 1; }

[ $# = 2 ] || die "usage: rootfs.sh BIN_DIR OUT_DIR"
binaries=$1 out=$2
names="quorate-node quorate quorate-controller"
for name in $names; do
    [ -x "$binaries/$name" ] || die "no executable $binaries/$name"
done
if [ -e "$out" ]; then
    [ -d "$out/usr/local/bin" ] || [ -z "$(ls -A "$out")" ] || die "$out holds something else"
    rm -rf --one-file-system "${out:?}"
fi
umask 022
mkdir -p "$out/usr/local/bin" "$out/etc" "$out/tmp" "$out/var/lib/quorate"
chmod 1777 "$out/tmp"

# Debug information would be most of the image; names of functions stay, for backtraces.
copy() {
    if command -v strip >/dev/null; then
        strip --strip-debug -o "$out/usr/local/bin/$1" "$binaries/$1"
    else
        cp "$binaries/$1" "$out/usr/local/bin/$1"
    fi
    chmod 0755 "$out/usr/local/bin/$1"
}
for name in $names; do copy "$name"; done

# Each library goes where the binary will look for it; the loader is among them, named without an arrow. A binary
# that is linked statically names none.
libraries() {
    local listed
    listed=$(ldd "$1" 2>&1) || case $listed in *"not a dynamic executable"*) return 0 ;; *) die "ldd $1: $listed" ;; esac
    case $listed in *"not found"*) die "$1 lacks a library: $listed" ;; esac
    sed -n -e 's#^.* => \(/[^ ]*\) (.*#\1#p' -e 's#^[[:space:]]*\(/[^ ]*\) (.*#\1#p' <<<"$listed"
}
for name in $names; do libraries "$binaries/$name"; done | sort -u | while read -r library; do
    mkdir -p "$out$(dirname "$library")"
    cp -L "$library" "$out$library"
    chmod 0755 "$out$library"
done

cat >"$out/etc/passwd" <<'END'
root:x:0:0:root:/:/sbin/nologin
nonroot:x:65532:65532:nonroot:/var/lib/quorate:/sbin/nologin
END
cat >"$out/etc/group" <<'END'
root:x:0:
nonroot:x:65532:
END
# Without this file names are asked of DNS before /etc/hosts is read.
echo "hosts: files dns" >"$out/etc/nsswitch.conf"
echo "rootfs: $(du -sh "$out" | cut -f1) in $out"
