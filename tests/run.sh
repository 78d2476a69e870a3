#!/usr/bin/env bash
# Runs the checks of this project by name: `bash tests/run.sh [check...]`.
# None named: all of $all, one after another, until the first that fails. A fresh machine with a
# Rust toolchain (rustfmt, clippy), a C compiler and Python 3 is enough; the rest is installed.
set -euo pipefail

all=(fmt lint doc wasm test canary runtimes cache browser ops instructions)
# These build a tool first, install the peers or take as long as one lets them: run by name.
named=(bench deny fuzz sim loom coverage mutants stress soak disk-kill wordpress coverage-heavy
    around socketio outages disk-start disk-full)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
passed=0
failed=0

source tests/packages.sh

# Makes the Python environment of the sample applications, again when their requirements change.
need_python() {
    local venv=target/venv requirements=(tests/apps/{django,flask}/requirements.txt)
    cat "${requirements[@]}" | cmp -s - "$venv/requirements.txt" &&
        "$venv/bin/python" -c 'import django, flask_sock' && return
    python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
    say "make $venv with $(cat "${requirements[@]}" | tr '\n' ' ')"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "${requirements[@]/#/-r}"
    cat "${requirements[@]}" >"$venv/requirements.txt"
}

# Installs what the Express application needs, again when that changes.
need_express() { need_npm tests/apps/express; }

# Installs what an application of Node.js needs, again when that changes.
need_npm() {
    command -v npm >/dev/null || need_packages nodejs npm
    local app=$1
    cmp -s "$app/package-lock.json" "$app/node_modules/lock.json" && return
    (cd "$app" && npm ci --silent)
    cp "$app/package-lock.json" "$app/node_modules/lock.json"
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
    [[ -z $(LD_PRELOAD=libnss_wrapper.so env true 2>&1) ]] || need_packages libnss-wrapper
    need_packages nginx-light iproute2 redis-server
    need_python
    need_express
    cargo_test --workspace "$@"
}

# Runs cargo's tests, and counts them.
cargo_test() {
    local log=target/test.log status=0
    mkdir -p target
    cargo test --locked --no-fail-fast --profile ci "$@" 2>&1 | tee "$log" || status=$?
    count "$log"
    return "$status"
}

# The simulation has one seed more: that of the commit.
check_test() { RETTER_SIM_EXTRA_SEED=$(commit_seed) run_tests; }

# Every bug that can be planted in the core is found by the simulation.
check_canary() {
    cargo clippy -p retter-sim --features canary --all-targets --locked -- -D warnings
    cargo_test -p retter-sim --features canary --test canary
}

# The simulation of many more worlds than `test` has.
check_sim() {
    RETTER_SIM_SEEDS=${RETTER_SIM_SEEDS:-20000} RETTER_SIM_EXTRA_SEED=$(commit_seed) \
        cargo_test -p retter-sim --test sim
}

# Every interleaving of a few threads, with loom: at the gate, the store, the waiting
# room, a site.
check_loom() {
    RUSTFLAGS="--cfg loom" cargo_test -p retter-core --lib --target-dir target/loom interleavings
}

# A number for the commit that is tested; 0 outside of a repository.
commit_seed() {
    local hash
    hash=$(git rev-parse HEAD 2>/dev/null) || hash=0
    echo "0x${hash:0:15}"
}

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

# The dashboard and the pages for visitors in a real browser, through an outage.
# RETTER_BROWSER_PICTURES names a folder for pictures of them.
check_browser() {
    command -v php >/dev/null || need_packages php-cli
    command -v npm >/dev/null || need_packages nodejs npm
    command -v chromium >/dev/null || need_packages chromium
    (cd tests/browser && npm ci --silent)
    cargo build -p retter --locked --profile ci
    local log=target/browser.log status=0 line
    node tests/browser/run.mjs --binary target/ci/retter \
        ${RETTER_BROWSER_PICTURES:+--pictures "$RETTER_BROWSER_PICTURES"} | tee "$log" || status=$?
    line=$(tail -n 1 "$log")
    [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]] || return 1
    passed=$((passed + BASH_REMATCH[1]))
    failed=$((failed + BASH_REMATCH[2]))
    return "$status"
}

# Rules and board for Prometheus and Grafana; that their metrics exist is in `test`.
check_ops() {
    command -v promtool >/dev/null || need_packages prometheus
    promtool check rules ops/prometheus/retter.rules.yml
    promtool test rules ops/prometheus/retter.rules.test.yml
    python3 tests/ops/board.py ops/grafana/retter.json >target/board.rules.yml
    promtool check rules target/board.rules.yml
}

# Shows that both benches work; what they measure in a second means nothing.
check_bench() {
    need_packages nginx-light varnish haproxy wrk strace
    cargo build --profile ci --locked -p retter-bench -p retter \
        --features retter/smol,retter/async-std
    ulimit -n "$(ulimit -Hn)"
    local folder=target/bench
    mkdir -p "$folder"
    target/ci/surge --retter target/ci/retter --seconds 1 --scenario sessions,die \
        --json "$folder/surge.json" --charts "$folder"
    target/ci/compare --programs target/ci --rounds 1 --seconds 1 --copies 5000 \
        --scenario hit-10k-gzip,forward-73,failing-73,dead-73,pipelined,body,latency,memory \
        --scenario growth,workers,syscalls \
        --json "$folder/compare.json" --chart "$folder/compare.svg"
    python3 -m json.tool "$folder/surge.json" >/dev/null
    python3 -m json.tool "$folder/compare.json" >/dev/null
}

# Heavy tests by name, with as many sockets as the system allows.
run_heavy() {
    ulimit -n "$(ulimit -Hn)"
    cargo_test -p retter-tests --test stress -- \
        --ignored --nocapture --test-threads 1 "$@"
}

# RETTER_STRESS_IDLE connections (10000); RETTER_STRESS_SLOW attackers (2000), each of seven kinds
# for RETTER_STRESS_SECONDS (30).
check_stress() {
    command -v slowhttptest >/dev/null || need_packages slowhttptest
    run_heavy ten_thousand slow_
}

# A real WordPress whose database stops.
check_wordpress() {
    need_wordpress
    cargo_test -p retter-tests --test wordpress -- --ignored --nocapture database
}

need_wordpress() {
    need_packages wordpress wordpress-theme-twentytwentythree mariadb-server php-cli php-mysql
}

# How much of Laravel, Rails, Tomcat and WordPress is rescued, and that nobody gets another's page.
check_coverage-heavy() {
    need_wordpress
    need_packages php-laravel-framework ruby-railties puma tomcat10 default-jre-headless
    cargo_test -p retter-tests --test coverage_heavy --test wordpress -- \
        --ignored --nocapture --test-threads 1 application
}

# What docs/src/around.md tells people to write, in the real programs.
check_around() {
    need_packages nginx-light php-cli php-fpm caddy gunicorn tomcat10 default-jre-headless
    need_python
    need_express
    cargo_test -p retter-tests --test around -- --ignored --test-threads 1
}

# Forty clients of socket.io that only poll, for RETTER_SOCKETIO_SECONDS (60).
check_socketio() {
    need_npm tests/apps/socketio
    cargo_test -p retter-tests --test socketio -- --ignored --nocapture
}

# A real application that is gone for RETTER_OUTAGES_SECONDS (90), five times, and hung once.
check_outages() {
    need_python
    cargo_test -p retter-tests --test returns -- --ignored --nocapture
}

# RETTER_SOAK_SECONDS (60) of new keys; 1800 is what a release deserves.
check_soak() { run_heavy memory_stays_flat; }

# Kills the program RETTER_KILL_ROUNDS times (200) under load: no dropped copy may come back.
check_disk-kill() {
    cargo_test -p retter-tests --test disk -- --ignored --nocapture killed_again
}

# Keeps copies on a file system of 256 KiB, mounted in a name space of its own: its kernel has to allow that.
check_disk-full() {
    cargo_test -p retter-tests --test disk -- --ignored --nocapture without_room
}

# Starts the program with 100,000 copies of 10 KiB on the disk: a gigabyte there, and in memory.
check_disk-start() {
    cargo_test -p retter-tests --test disk -- --ignored --nocapture a_start_with
}

# Instructions of the core's hot paths: at most 5 % over those in core/benches/instructions.txt.
check_instructions() { tests/bench/instructions; }

check_deny() {
    command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
    cargo deny check
}

# Fuzzes each target, or those of FUZZ_TARGETS, for FUZZ_SECONDS (30); see fuzz/README.md.
check_fuzz() {
    command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
    command -v c++ >/dev/null || need_packages g++
    # libFuzzer needs no nightly compiler when no sanitizer is asked for.
    cargo fuzz build --sanitizer none
    local target grown bytes
    for target in ${FUZZ_TARGETS:-$(cargo fuzz list)}; do
        say "fuzz $target"
        grown=target/fuzz/$target
        # Where small inputs say everything, long ones only take time.
        bytes=1200
        [[ $target == session ]] && bytes=2500
        mkdir -p "$grown" "fuzz/corpus/$target"
        cargo fuzz run --sanitizer none "$target" \
            "$grown" "fuzz/seeds/$target" "fuzz/corpus/$target" -- \
            -dict=fuzz/dict/http.dict -max_len=$bytes -timeout=20 -verbosity=0 \
            -print_final_stats=1 -max_total_time="${FUZZ_SECONDS:-30}"
        if [[ -n ${FUZZ_KEEP:-} ]]; then
            keep_corpus "$target" "$grown"
        fi
    done
}

# Replaces the corpus of a target by the fewest files that reach as much as it and `$2` do.
keep_corpus() {
    local target=$1 fewest=target/fuzz/fewest
    rm -rf "$fewest"
    mkdir -p "$fewest"
    cargo fuzz run --sanitizer none "$target" \
        "$fewest" "fuzz/corpus/$target" "$2" -- -merge=1 -use_counters=0 -verbosity=0
    rm -rf "fuzz/corpus/$target"
    mv "$fewest" "fuzz/corpus/$target"
}

# Lines and regions of the core that its own tests and a short simulation reach: the loop between
# sessions and sockets runs in the second only.
check_coverage() {
    command -v cargo-llvm-cov >/dev/null || cargo install --locked cargo-llvm-cov
    if ! rustup component add llvm-tools; then
        # Debian's have to be of the version that the compiler has inside.
        local major
        major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
        need_packages "llvm-$major"
        export LLVM_COV=llvm-cov-$major LLVM_PROFDATA=llvm-profdata-$major
    fi
    RETTER_SIM_SEEDS=${RETTER_SIM_SEEDS:-32} \
        cargo llvm-cov test --locked -p retter-core -p retter-sim --lib --test sim --profile ci \
        --ignore-filename-regex '(tests|harness|model|pair)\.rs|/(tests|fuzzing)/'
}

# Changes breaker, key and framing in every small way, or only the files of MUTANTS_FILES; some
# test has to notice each time. What none can notice is in .cargo/mutants.toml. All of it takes
# two hours of two cores: MUTANTS_SHARD=0/8 does an eighth.
check_mutants() {
    command -v cargo-mutants >/dev/null || cargo install --locked cargo-mutants
    local file files=()
    for file in ${MUTANTS_FILES:-core/src/breaker/*.rs core/src/key/*.rs core/src/h1/*.rs}; do
        files+=(--file "$file")
    done
    mkdir -p target/mutants
    # Compiled incrementally a change takes 5 s instead of a minute.
    CARGO_PROFILE_CI_INCREMENTAL=true CARGO_PROFILE_CI_DEBUG=0 \
        cargo mutants --profile ci --package retter-core --output target/mutants --no-times \
        ${MUTANTS_SHARD:+--shard "$MUTANTS_SHARD"} "${files[@]}" -- --lib
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
        echo "There is no check \`$check\`: choose of ${all[*]} ${named[*]}" >&2
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
