# Owns the installation of Debian packages; read by `tests/run.sh` and the benches with `source`.
# Never starts a service that a package brings.

say() { printf '\n== %s\n' "$*"; }

# Installs Debian packages that are missing, by name; says which when it may not.
need_packages() {
    local missing=() package
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    ((${#missing[@]} == 0)) && return
    local as_root=()
    if ((EUID != 0)); then
        as_root=(sudo -n)
    fi
    say "install ${missing[*]}" >&2
    # invoke-rc.d(8) asks this program whether a service may start.
    local policy=/usr/sbin/policy-rc.d installed=yes
    if [[ ! -e $policy ]]; then
        "${as_root[@]}" install -m 755 /dev/stdin "$policy" <<<$'#!/bin/sh\nexit 101 # for now'
    fi
    "${as_root[@]}" apt-get update -q >&2 &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 || installed=no
    if grep -q '# for now' "$policy"; then
        "${as_root[@]}" rm "$policy"
    fi
    if [[ $installed == no ]]; then
        echo "These Debian packages are needed and cannot be installed here: ${missing[*]}" >&2
        exit 1
    fi
}
