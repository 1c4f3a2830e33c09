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

# Debian's Python has no pip; it runs from its wheel then.
pip() {
    local python=${PYTHON:-python3} wheel=
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        [[ -d $tools/pip ]] || unpack_debian "$tools/pip" python3-pip-whl
        wheel=$(echo "$tools"/pip/usr/share/python-wheels/pip-*.whl)
    fi
    PIP_ROOT_USER_ACTION=ignore PYTHONPATH=$wheel "$python" -m pip "$@" --quiet --disable-pip-version-check
}
