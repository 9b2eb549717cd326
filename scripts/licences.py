#!/usr/bin/env python3
"""Checks the dependencies against deny.toml where cargo-deny isn't installed: licences, banned crates,
sources. Needs Python 3.11 (tomllib) and nothing else."""
import json
import subprocess
import sys
import tomllib
from pathlib import Path

RULES = tomllib.loads((Path(__file__).parent.parent / 'deny.toml').read_text())
ALLOWED = set(RULES['licenses']['allow'])
BANNED = {ban['crate']: ban['reason'] for ban in RULES['bans']['deny']}
# Those who may use a banned crate all the same.
WRAPPERS = {ban['crate']: ban.get('wrappers', []) for ban in RULES['bans']['deny']}
REGISTRY = 'registry+https://github.com/rust-lang/crates.io-index'


def main():
    packages = json.loads(subprocess.check_output(
        ['cargo', 'metadata', '--format-version', '1', '--all-features', '--locked']))['packages']
    problems = [problem for package in packages for problem in check(package)]
    print('\n'.join(problems), end='\n' if problems else '')
    print(f'{len(packages)} packages, {len(problems)} problems')
    sys.exit(bool(problems) or len(packages) < 20)


def check(package):
    name = f"{package['name']} {package['version']}"
    for needed in package['dependencies']:
        banned = BANNED.get(needed['name']) if needed['kind'] != 'dev' and not needed['optional'] else None
        if banned and package['name'] not in WRAPPERS[needed['name']]:
            yield f"{name}: uses {needed['name']}, which is banned: {banned}"
    if package['source'] not in (None, REGISTRY):
        yield f"{name}: comes from {package['source']}"
    if not satisfied(package['license'] or ''):
        yield f"{name}: licence {package['license']!r} is not on the list"


def satisfied(expression):
    """SPDX: OR binds weaker than AND, WITH belongs to its licence; old manifests use / for OR."""
    tokens = expression.replace('/', ' OR ').replace('(', ' ( ').replace(')', ' ) ').split()
    position = 0

    def either():
        nonlocal position
        value = both()
        while position < len(tokens) and tokens[position] == 'OR':
            position += 1
            value = both() or value
        return value

    def both():
        nonlocal position
        value = one()
        while position < len(tokens) and tokens[position] == 'AND':
            position += 1
            value = one() and value
        return value

    def one():
        nonlocal position
        if position >= len(tokens):
            return False
        if tokens[position] == '(':
            position += 1
            value = either()
            position += 1
            return value
        licence = tokens[position]
        position += 1
        if tokens[position:position + 1] == ['WITH']:
            licence += ' WITH ' + tokens[position + 1]
            position += 2
        return licence in ALLOWED

    return either()


if __name__ == '__main__':
    main()
