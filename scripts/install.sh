#!/bin/sh
# Installs polyarch for one user: fetches the archive of this machine, compares its SHA-256 and copies the program.
# usage: sh install.sh     settings are variables of the environment:
#   POLYARCH_RELEASES  the address of the releases: a file:// directory, or an address of a web server
#   POLYARCH_VERSION   the version
#   POLYARCH_BIN       the directory of the program (~/.local/bin)
#   POLYARCH_SHA256    the SHA-256 of the archive, if you have it from a place that you trust more than the releases;
#                      for several processors all sums, separated by spaces
set -eu

version=${POLYARCH_VERSION:-0.1.0}
releases=${POLYARCH_RELEASES:-}

fail() {
    printf 'error: %s\n' "$1" >&2
    printf 'hint: %s\n' "$2" >&2
    exit 1
}

# The name of this machine in the names of archives.
target() {
    case $(uname -m) in
        x86_64 | amd64) processor=x86_64 ;;
        aarch64 | arm64) processor=aarch64 ;;
        *) fail "polyarch has no archive for the processor $(uname -m)" 'build polyarch from its sources with cargo' ;;
    esac
    case $(uname -s) in
        Linux) echo "$processor-unknown-linux-musl" ;;
        Darwin) echo "$processor-apple-darwin" ;;
        *) fail "polyarch has no archive for the system $(uname -s)" 'build polyarch from its sources with cargo' ;;
    esac
}

# Copies an address to a file. A redirect never leads from HTTPS to plain HTTP.
fetch() { # ADDRESS FILE
    case $1 in
        file://*) cp -- "${1#file://}" "$2" 2>/dev/null && return ;;
        https://*) download '=https' "$@" && return ;;
        http://*) download '=http,https' "$@" && return ;;
        *) fail "POLYARCH_RELEASES is not an address: $releases" 'begin it with https://, http:// or file://' ;;
    esac
    fail "$1 does not exist, or this machine cannot read it" 'check POLYARCH_RELEASES and POLYARCH_VERSION'
}

download() { # PROTOCOLS ADDRESS FILE
    if command -v curl >/dev/null; then
        curl --fail --silent --show-error --location --proto "$1" --output "$3" "$2"
    elif command -v wget >/dev/null; then
        wget -q -O "$3" "$2"
    else
        fail 'this machine has neither curl nor wget' 'install curl, then run this again'
    fi
}

sum_of() { # FILE
    if command -v sha256sum >/dev/null; then
        sum=$(sha256sum <"$1")
    elif command -v shasum >/dev/null; then
        sum=$(shasum -a 256 <"$1")
    else
        fail 'this machine has neither sha256sum nor shasum' 'install coreutils, then run this again'
    fi
    echo "${sum%% *}"
}

stage() { # PROGRAM FILE
    mkdir -p "$(dirname "$2")" && cp "$1" "$2" && chmod 755 "$2"
}

# All is a function, so that a script that was cut off does nothing.
main() {
    [ -n "$releases" ] || fail 'polyarch has no public releases yet' \
        'set POLYARCH_RELEASES to the address of your own releases, such as file:///srv/polyarch'
    bin=${POLYARCH_BIN:-${HOME:?}/.local/bin}
    target=$(target)
    name=polyarch-$version-$target
    from=${releases%/}/v$version
    work=$(mktemp -d)
    new=$bin/.polyarch.$$
    trap 'rm -rf "$work" "$new"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    fetch "$from/$name.tar.gz" "$work/archive"
    expected=${POLYARCH_SHA256:-}
    if [ -z "$expected" ]; then
        fetch "$from/SHA256SUMS" "$work/sums"
        expected=$(sed -n "s/^\([0-9a-f]\{64\}\)  $name\.tar\.gz\$/\1/p" "$work/sums")
        [ -n "$expected" ] || fail "$from/SHA256SUMS has no line for $name.tar.gz" 'report this to the publisher of the releases'
    fi
    found=$(sum_of "$work/archive")
    case " $expected " in
        *" $found "*) ;;
        *)
            fail "the SHA-256 of $name.tar.gz is $found, and $expected was expected" \
                'download again; if the sums still differ, do not run the program'
            ;;
    esac

    tar -xzf "$work/archive" -C "$work" "$name/polyarch" || fail "$name.tar.gz has no program" 'report this to the publisher of the releases'
    # The new program runs once before it takes the place of an older one. A directory for temporary files may forbid that.
    stage "$work/$name/polyarch" "$new" || fail "cannot write into $bin" 'set POLYARCH_BIN to a directory that you may write'
    shown=$("$new" --version) || fail "the program of $name.tar.gz does not run on this machine" \
        'report this to the publisher of the releases'
    mv -f "$new" "$bin/polyarch"
    echo "installed $shown as $bin/polyarch" >&2
    case :${PATH}: in
        *:"$bin":*) ;;
        *) echo "add $bin to your PATH" >&2 ;;
    esac
}

main
