# How the scripts in here get what the machine lacks; they source it. Everything goes into target/tools,
# nothing is installed into the system.

tools=${CARGO_TARGET_DIR:-$(dirname "${BASH_SOURCE[0]}")/../target}/tools
mkdir -p "$tools" && tools=$(cd "$tools" && pwd)

as_root() {
    if ((EUID == 0)); then "$@"; elif command -v sudo >/dev/null; then sudo -n "$@"; else
        echo "not root and no sudo: cannot run: $*" >&2
        return 1
    fi
}

# unpack_debian FOLDER PACKAGE...: root is needed only to refresh package lists that are missing or stale.
unpack_debian() {
    local folder=$1 package
    shift
    if ! command -v apt-get >/dev/null; then
        echo "no apt-get to fetch from: $*" >&2
        return 1
    fi
    rm -rf "$folder" && mkdir -p "$folder"
    (
        cd "$folder"
        apt-get download -qq "$@" 2>/dev/null || {
            as_root apt-get update -qq
            apt-get download -qq "$@" 2>/dev/null
        } || { echo "the Debian archive does not give: $*" >&2 && exit 1; }
        for package in *.deb; do
            dpkg-deb --extract "$package" . || exit 1
            rm "$package"
        done
    )
}

# lacking PACKAGE REGEX: what the machine lacks of a package's dependencies, of those that match.
lacking() {
    local said
    wanted() { apt-get install --simulate --no-install-recommends "$1" 2>/dev/null; }
    said=$(wanted "$1" || { as_root apt-get update -qq && wanted "$1"; })
    sed -nE "s/^Inst ($2) .*/\\1/p" <<<"$said"
}

# fetch_program NAME PROGRAM REGEX: a Debian package with what the machine lacks of those dependencies that
# match, into the folder NAME; NAME/run starts PROGRAM so that it finds its libraries.
fetch_program() {
    local folder=$tools/$1 packages
    mapfile -t packages < <(lacking "$1" "$1|$3")
    unpack_debian "$folder" "${packages[@]}" || return 1
    cat >"$folder/run" <<END
#!/bin/sh
here=\$(cd "\$(dirname "\$0")" && pwd)
LD_LIBRARY_PATH=\$(echo "\$here"/usr/lib/*-linux-gnu) exec "\$here/$2" "\$@"
END
    chmod +x "$folder/run"
}

# Debian's Python has no pip; it runs from its wheel then.
pip() {
    local python=${PYTHON:-python3} wheel=
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        [[ -d $tools/pip ]] || unpack_debian "$tools/pip" python3-pip-whl
        wheel=$(echo "$tools"/pip/usr/share/python-wheels/pip-*.whl)
    fi
    PIP_ROOT_USER_ACTION=ignore PYTHONPATH=$wheel timeout --foreground 900 "$python" -m pip "$@" --quiet --disable-pip-version-check
}

# environment FOLDER PACKAGE...: a Python environment of the project's own, made anew.
environment() {
    local folder=$1 make=(timeout --foreground 120 "${PYTHON:-python3}" -m venv --clear)
    shift
    "${make[@]}" "$folder" >/dev/null 2>&1 || "${make[@]}" --without-pip "$folder" || {
        echo "no Python 3.10 or later with venv: install one, or set PYTHON" >&2
        return 1
    }
    PYTHON=$folder/bin/python pip install --no-compile "$@"
}

# Of what `moto[server]` brings, AWS as it is imitated here needs Flask alone; the rest would be 180 MB.
MOTO=('moto==5.2.1' 'botocore==1.43.11' flask flask-cors)

# Debian's package has promtool beside it.
find_prometheus() {
    if [[ -z ${PROMETHEUS:-} ]] && ! PROMETHEUS=$(command -v prometheus); then
        PROMETHEUS=$tools/prometheus/usr/bin/prometheus
        [[ -x $PROMETHEUS ]] || unpack_debian "$tools/prometheus" prometheus || {
            echo "no prometheus: install Prometheus 2.39 or later, or set PROMETHEUS" >&2
            return 1
        }
    fi
    export PROMETHEUS
}

find_haproxy() {
    if [[ -z ${HAPROXY:-} ]] && ! HAPROXY=$(PATH=$PATH:/usr/sbin command -v haproxy); then
        HAPROXY=$tools/haproxy/run
        [[ -x $HAPROXY ]] || fetch_program haproxy usr/sbin/haproxy 'lib[^ ]*' || {
            echo "no haproxy: install HAProxy 2.4 or later, or set HAPROXY" >&2
            return 1
        }
    fi
    export HAPROXY
}
