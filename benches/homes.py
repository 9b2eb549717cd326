#!/usr/bin/env python3
"""What one run over many users' homes costs beside rebuilds of single stores: CPU of all processes, as a ratio.

Root alone can run it: every home has an owner of its own, and `apply` starts a process of that owner's for each.

    cargo build --release
    sudo benches/homes.py target/release/keyferry         # 1,000 homes
    sudo benches/homes.py target/release/keyferry 10000

The goal is a ratio below 1.5, over all cores. It is no test: a busy machine would make one fail that is right. What such
a run does is in tests/homes.rs (a_thousand_homes_each_with_its_own_key).
"""

import os
import resource
import subprocess
import sys
import tempfile
import time

FIRST = 20_000
"""Users without an entry in the system's database."""

SINGLES = 50
"""Rebuilds of single stores that the sum is reckoned from."""


def spent():
    """CPU of all children so far, in seconds: those that they waited for included."""
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime + use.ru_stime


def main():
    if os.geteuid() != 0 or len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    program = os.path.abspath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) == 3 else 1000
    # A folder of root's that others may go through but not write to.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        measure(program, count, folder)


def measure(program, count, folder):
    def at(name):
        return os.path.join(folder, name)

    def ours(*arguments, status=0):
        done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True)
        if done.returncode != status:
            sys.exit(f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    write(at("pw"), "client-password\n")
    for person in ("ann", "bob", "root"):
        ca = "TRUE" if person == "root" else "FALSE"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-subj", f"/O=SSS/CN={person}", "-addext", f"basicConstraints=critical,CA:{ca}",
             "-keyout", f"{person}.key", "-out", f"{person}.crt"],
            cwd=folder, check=True, capture_output=True)
    write(at("ann.pem"), read(at("ann.crt")) + read(at("ann.key")))
    ours("convert", "ann.pem", "ann.p12", "--to-password", "file:pw", "--allow-loss")
    ours("bundle", "create", "bundle.pem", "--add", "ann.crt", "--add", "bob.crt", "--add", "root.crt")

    store = read(at("ann.p12"))
    for n in range(count):
        home = at(f"home/u{n:06}")
        os.makedirs(home)
        write(f"{home}/client.p12", store, 0o600)
        for path in (home, f"{home}/client.p12"):
            os.chown(path, FIRST + n, FIRST + n)
    write(at("k.toml"), f"""
state = "{at('state')}"
gates = {{ new_cas = false }}
[[bundle]]
source = "{at('bundle.pem')}"
verify = "none"
[[store]]
path = "{at('home/*/client.p12')}"
password = "file:{at('pw')}"
""")

    for n in range(SINGLES):
        write(at(f"{n}.p12"), store, 0o600)
    before = spent()
    for n in range(SINGLES):
        ours("rebuild", f"{n}.p12", "--bundle", "bundle.pem", "--password", "file:pw")
    single = (spent() - before) / SINGLES

    before, begun = spent(), time.monotonic()
    ours("apply", "--config", "k.toml")
    cpu, wall = spent() - before, time.monotonic() - begun
    changed = sum(read(at(f"home/u{n:06}/client.p12")) != store for n in range(count))
    if changed != count:
        sys.exit(f"{changed} of {count} stores were changed")

    before = spent()
    ours("apply", "--config", "k.toml")
    again = spent() - before
    print(f"{count} homes, {os.cpu_count()} cores: {cpu:.2f} s of CPU in {wall:.2f} s")
    print(f"a single rebuild: {single * 1000:.2f} ms of CPU; {count} of them: {single * count:.2f} s")
    print(f"ratio: {cpu / (single * count):.2f}")
    print(f"where nothing is new: {again:.2f} s of CPU")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, content, mode=0o644):
    with open(path, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    os.chmod(path, mode)


if __name__ == "__main__":
    main()
