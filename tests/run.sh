#!/usr/bin/env bash
# Runs the checks of this project by name: `bash tests/run.sh [check...]`.
# None named: all of $all, one after another, until the first that fails. A fresh machine with a
# Rust toolchain (rustfmt, clippy), a C compiler and Python 3 is enough; the rest is installed.
set -euo pipefail

# `deny` builds cargo-deny first, which takes longer than all other checks: it is run by name.
all=(fmt lint doc wasm test runtimes cache)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
passed=0
failed=0

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
    say "install ${missing[*]}"
    if ! "${as_root[@]}" apt-get update -q ||
        ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends "${missing[@]}"; then
        echo "These Debian packages are needed and cannot be installed here: ${missing[*]}" >&2
        exit 1
    fi
}

# Makes the Python environment of the sample application, again when its requirements change.
need_flask() {
    local venv=target/venv requirements=tests/apps/flask/requirements.txt
    cmp -s "$requirements" "$venv/requirements.txt" && "$venv/bin/python" -c 'import flask_sock' &&
        return
    python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
    say "make $venv with $(tr '\n' ' ' <"$requirements")"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$venv/requirements.txt"
}

# Counts the closing lines of a test runner's output: `test result: ok. 3 passed; 1 failed; ...`.
count() {
    local line
    while read -r line; do
        [[ $line =~ ([0-9]+)\ passed\;\ ([0-9]+)\ failed ]] || continue
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
    done < <(grep '^test result:' "$1")
}

check_fmt() { cargo fmt --all --check; }

check_lint() {
    cargo clippy --workspace --all-targets --locked -- -D warnings
    # Together they hide what each of them lacks.
    local runtime
    for runtime in tokio smol async-std; do
        cargo clippy -p retter --no-default-features --features "$runtime" --locked -- -D warnings
    done
}

check_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked
}

check_wasm() {
    rustup target add wasm32-unknown-unknown
    cargo check -p retter-core --target wasm32-unknown-unknown --locked
}

# Runs the tests that the arguments choose.
run_tests() {
    command -v php >/dev/null || need_packages php-cli
    need_flask
    local log=target/test.log status=0
    mkdir -p target
    cargo test --workspace --locked --no-fail-fast --profile ci "$@" 2>&1 | tee "$log" || status=$?
    count "$log"
    return "$status"
}

check_test() { run_tests; }

# The end-to-end tests once more for each other runtime; the longest of them are shorter then.
check_runtimes() {
    local file runtime scenarios=()
    for file in tests/tests/*.rs; do
        scenarios+=(--test "$(basename "$file" .rs)")
    done
    for runtime in smol async-std; do
        say "on $runtime"
        TEST_RUNTIME=$runtime RETTER_FLOOD_REQUESTS=50000 RETTER_STREAM_BYTES=$((256 << 20)) \
            run_tests "${scenarios[@]}"
    done
}

# http-tests/cache-tests; what may fail, and why, is in tests/cache-tests/expected.json.
check_cache() {
    command -v npm >/dev/null || need_packages nodejs npm
    (cd tests/cache-tests && npm ci --silent)
    cargo build -p retter --bins --features smol,async-std --locked --profile ci
    local log=target/cache.log binary mode
    while read -r binary mode; do
        say "cache-tests: $binary, $mode"
        node tests/cache-tests/run.mjs --binary "target/ci/$binary" --mode "$mode" | tee "$log"
        while [[ $(<"$log") =~ (required|optimal|check)\ ([0-9]+)/ ]]; do
            passed=$((passed + BASH_REMATCH[2]))
            sed -i "s|${BASH_REMATCH[1]} ${BASH_REMATCH[2]}/||" "$log"
        done
    done <<<"retter strict
retter session
retter-smol strict
retter-async-std strict"
}

check_deny() {
    command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
    cargo deny check
}

finish() {
    local status=$?
    printf '\n%d passed, %d failed\n' "$passed" "$failed"
    exit "$status"
}

checks=("$@")
((${#checks[@]})) || checks=("${all[@]}")
for check in "${checks[@]}"; do
    if ! declare -F "check_$check" >/dev/null; then
        echo "There is no check \`$check\`: choose of ${all[*]} deny" >&2
        exit 2
    fi
done
trap finish EXIT
for check in "${checks[@]}"; do
    say "$check"
    SECONDS=0
    "check_$check"
    echo "$check passed in $SECONDS s"
done
