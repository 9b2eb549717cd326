#!/usr/bin/env python3
"""Kills the program at, and fails, every system call by which it changes a store, and looks at what is left.

    scripts/faults.py target/debug/keyferry testdata [SCENARIO...|databases|edits|machines]

With the variable FAULTS_EVERY=N only every Nth fault is tried.

Each scenario is one command on stores of known bytes (`--reproducible` makes the new ones known too). A
traced run finds the calls; then the command runs once for every call and every fault, each time in a fresh
folder, under `strace --inject`. Whatever happened:

- every store is, byte for byte, the old one or the new one; every old generation is a whole store;
- status 0 means that all stores are new; any other, that all are as they were, and nothing else is in the folder;
- the message names the store, and nothing panics;
- the same command without a fault then ends well, with the new stores and without temporary files.

What a power cut would do can't be tried so; but every run must sync a file after its last write and before its
rename, and the folder after that.

The bytes that stand for "old" and "new" were listed and their keys opened by the program itself. Further: readers
during a hundred swaps by two writers at once, and, where a mount namespace can be had, full disks, read-only
disks and stores that are mount points. Prints one line with counts; ends with 1 on a violation, or when strace
can't inject. Needs strace and Python's standard library.
"""
import base64
import concurrent.futures
import dataclasses
import fcntl
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

PASSWORD = 'changeit'
WORKERS = 2
# Calls that change what is on the disk or who may.
CHANGES = set('''write pwrite64 writev fchmod chmod fchmodat fchown fchownat chown fsetxattr setxattr fremovexattr
    link linkat rename renameat renameat2 unlink unlinkat fsync fdatasync ftruncate copy_file_range sendfile mkdir
    mkdirat symlinkat flock rmdir'''.split())
# Calls that only look; failing them must not mislead the program.
LOOKS = set('read pread64 statx newfstatat fstat getdents64 readlink readlinkat'.split())
MIXED = {'openat', 'fcntl'}
# What a file system says when it is full, broken, read-only, or forbids.
ERRORS = {
    'rename': 'ENOSPC EIO EROFS EACCES EBUSY', 'link': 'ENOSPC EIO EROFS EACCES EPERM EMLINK', 'open': 'ENOSPC EIO EROFS EACCES',
    'unlink': 'EIO EROFS EACCES', 'flock': 'EIO ENOLCK', 'fcntl': 'EIO ENOLCK', 'fchown': 'EIO EPERM EROFS',
    'fsync': 'EIO ENOSPC EDQUOT', 'fsetxattr': 'ENOSPC EIO EPERM', 'write': 'ENOSPC EIO EDQUOT',
}


@dataclasses.dataclass
class Scenario:
    """One command, and what it works on."""
    name: str
    command: list
    stores: list
    prepare: list = dataclasses.field(default_factory=list)
    # Faults that every run has, such as a file system without hard links.
    always: tuple = ()
    # What heals; the command itself where nothing is said.
    rerun: list = None
    # A command by which the new stores come about where `command` takes them back.
    forward: list = None
    # Old generations may go one by one.
    shrinks: bool = False
    # Calls that only look are failed too.
    looks: bool = False
    # Owner of the stores, where only root can keep it.
    owner: int = None
    # The files are one set: all old or all new.
    together: bool = False
    # A folder to begin with, in place of what `prepare` makes.
    start: Path = None

    def stage(self, world):
        return Stage(world, self)


@dataclasses.dataclass
class Edit(Scenario):
    """A change of single entries, or a step in a key's life."""
    # Labels of keys that must open, before and after.
    keys: tuple = (('alice', 'bob'), ('alice', 'bob'))
    # The password afterwards.
    password: str = PASSWORD
    # It makes keys, so that what is new is known by what is listed and not byte for byte.
    random: bool = False
    # What a person does where the store is the new one and a file beside it is missing.
    finish: list = None
    # A change that is none, with which the next run begins.
    settle: list = None

    def stage(self, world):
        return EditStage(world, self)


@dataclasses.dataclass
class Fault:
    call: str
    number: int
    what: str
    line: str
    looks: bool = False
    lasting: bool = False

    def path(self):
        """What the call names; a temporary name without what is random in it."""
        named = re.search(r'"([^"]*)', self.line)
        return re.sub(r'\.\w{6}(?=\.tmp$)', '', named[1]) if named else ''

    def option(self):
        return f'inject={self.call}:{self.what}:when={self.number}' + ('+' if self.lasting else '')


class World:
    """The program, its inputs, and what went wrong."""

    def __init__(self, program, testdata):
        self.program = str(Path(program).resolve())
        self.testdata = Path(testdata).resolve()
        self.top = Path(tempfile.mkdtemp(prefix='keyferry-faults-'))
        self.violations = []
        self.counts = {}
        self.listed = {}
        self.lock = threading.Lock()
        java = self.testdata / 'java'
        inputs = self.top / 'in'
        inputs.mkdir()
        self.key = java / 'jks-basic.jks'
        self.whole = java / 'jks-truststore.jks'
        self.part = inputs / 'part.jks'
        self.added = java / 'material' / 'rsa2.crt'
        self.must(['convert', self.whole, self.part, '--label', 'root-ca', '--label', 'same-2'], inputs)

    def environment(self, password=PASSWORD):
        return {'PATH': os.environ.get('PATH', ''), 'KEYFERRY_PASSWORD': password, 'SOURCE_DATE_EPOCH': '1767323045'}

    def run(self, args, folder, strace=(), password=PASSWORD):
        return subprocess.run(
            [*strace, self.program, '--reproducible', *map(str, args)], cwd=folder, env=self.environment(password),
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60)

    def must(self, args, folder, status=0):
        ran = self.run(args, folder)
        if ran.returncode != status:
            raise SystemExit(f'{args}: status {ran.returncode}\n{text(ran.stderr)}')
        return ran

    def violation(self, message):
        with self.lock:
            self.violations.append(message)
            print(f'violation: {message}', file=sys.stderr, flush=True)

    def count(self, what, by=1):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + by

    def same(self, store, a, b):
        """Whether both list the same, keys opened."""
        return self.seen(store, a) == self.seen(store, b)

    def seen(self, store, content, beside=()):
        known = (store, hashlib.sha256(content).digest())
        if known not in self.listed:
            folder = Path(tempfile.mkdtemp(dir=self.top))
            (folder / store).write_bytes(content)
            for name, other in beside:
                (folder / name).write_bytes(other)
            ran = self.run(['list', '--json', store], folder)
            opened = self.run(['convert', store, 'jceks:-'], folder)
            self.listed[known] = (ran.returncode, fingerprints(ran.stdout), opened.returncode, len(opened.stdout))
        return self.listed[known]

    def opened(self, files, edit, password=PASSWORD):
        """What is listed of a store and its companions, and which of the keys open that the edit is about."""
        store = next(iter(files))
        known = (store, edit.keys, *sorted((n, hashlib.sha256(c).digest()) for n, c in files.items()))
        if known not in self.listed:
            folder = Path(tempfile.mkdtemp(dir=self.top))
            for name, content in files.items():
                (folder / name).write_bytes(content)
            self.listed[known] = self.opened_in(folder, store, edit, password)
        return self.listed[known]

    def opened_in(self, folder, store, edit, password=PASSWORD):
        run = lambda *command: self.run(command, folder, password=password)
        ran, waiting = run('list', '--json', store), run('request', 'list', '--json', store)
        labels = sorted((e['kind'], e.get('label', ''), e.get('subject', '')) for e in json.loads(ran.stdout or b'[]'))
        labels += sorted(('waits', e['label'], e['kept_as']) for e in json.loads(waiting.stdout or b'[]'))
        opens = lambda label: any(run(*c).returncode == 0 for c in (
            ('extract', store, label, '--key', '--to', 'pem'), ('request', 'recreate', store, label, '--dn', 'CN=x', '--file', '-')))
        return ran.returncode, labels, [k for k in sorted({*edit.keys[0], *edit.keys[1]}) if opens(k)]

    def rebuild(self, stores, bundle, *more):
        return ['rebuild', *stores, '--bundle', bundle, *more]


def scenarios(world):
    """Every command that changes a store."""
    def fresh(*stores):
        return [world.rebuild(stores, world.whole, '--key', world.key)]

    def old(store):
        return [*fresh(store), world.rebuild([store], world.part), world.rebuild([store], world.whole)]

    for store in ('a.jks', 'a.p12', 'a.pem', 'a.kdb'):
        yield Scenario(f'rebuild-{store[2:]}', world.rebuild([store], world.part), [store], fresh(store),
                       looks=store == 'a.jks')
    # Changes of single entries go the same way.
    yield Scenario('add-p12', ['add', 'a.p12', world.added], ['a.p12'], fresh('a.p12'))
    yield Scenario('add-jks', ['add', 'a.jks', world.added], ['a.jks'], fresh('a.jks'))
    yield Scenario('default-kdb', ['default', 'a.kdb', 'server'], ['a.kdb'], fresh('a.kdb'))
    yield Scenario('create', world.rebuild(['a.jks'], world.part, '--key', world.key), ['a.jks'], looks=True)
    # Two files: the stash goes into place before the store.
    yield Scenario('create-kdb', world.rebuild(['a.kdb'], world.part, '--key', world.key), ['a.kdb'])
    two = ['a.jks', 'b.p12']
    yield Scenario('two', world.rebuild(two, world.part), two, fresh(*two), looks=True)
    yield Scenario('taken-back', world.rebuild(two, world.part, '--exec', 'exit 3'), two, fresh(*two),
                   rerun=world.rebuild(two, world.part), forward=world.rebuild(two, world.part))
    yield Scenario('no-links', world.rebuild(['a.jks'], world.part), ['a.jks'], fresh('a.jks'),
                   always=('linkat:error=EPERM',))
    yield Scenario('no-noreplace', world.rebuild(['a.jks'], world.part, '--key', world.key), ['a.jks'],
                   always=('renameat2:error=EINVAL',))
    convert = ['convert', '--force', world.key, 'a.p12']
    yield Scenario('convert-force', convert, ['a.p12'], fresh('a.p12'), looks=True)
    yield Scenario('convert-new', convert[:1] + convert[2:], ['a.p12'])
    yield Scenario('rollback', ['rollback', 'a.jks'], ['a.jks'], old('a.jks'), looks=True)
    yield Scenario('rollback-no-links', ['rollback', 'a.jks'], ['a.jks'], old('a.jks'),
                   always=('linkat:error=EPERM',))
    # A new password: store and stash change together.
    password = ['convert', '--force', world.key, 'a.kdb', '--to-password', 'pass:Other-1']
    pair = ['a.kdb', 'a.sth']
    passwd = ['passwd', 'a.kdb', '--to-password', 'pass:Other-1']
    yield Scenario('password', passwd, pair, fresh('a.kdb'), together=True, looks=True)
    yield Scenario('password-no-links', password, pair, fresh('a.kdb'), together=True,
                   always=('linkat:error=EPERM',))
    yield Scenario('rollback-password', ['rollback', 'a.kdb'], pair, [*fresh('a.kdb'), password], together=True)
    yield Scenario('prune', ['prune', 'a.jks', '--keep', '0', '--older-than', '0s'], ['a.jks'], old('a.jks'),
                   shrinks=True)
    if os.geteuid() == 0:
        yield Scenario('other-owner', world.rebuild(['a.jks'], world.part), ['a.jks'], fresh('a.jks'), owner=65534)


class Lives:
    """Stores of every format in the states of a key's life, and a small authority."""

    def __init__(self, world):
        self.world = world
        self.folder = world.top / 'lives'
        self.folder.mkdir()
        self.does('create', 'ca.p12', '--to-password', f'pass:{PASSWORD}')
        self.does('keygen', 'ca.p12', '--label', 'root', '--type', 'ec', '--profile', 'ca', '--dn', 'CN=Root', '--days', '3650')
        self.does('convert', 'ca.p12', 'root.pem', '--label', 'root', '--certs-only')
        self.does('crl', 'create', '--ca', 'ca.p12#root', '--file', 'root.crl')

    def does(self, *command, at=None):
        self.world.must([*command], at or self.folder)

    def file(self, name):
        return self.folder / name

    def states(self, store):
        """Folders with: alice's key and bob's, which waits; a successor of alice's that waits; its certificate come."""
        name = store.removeprefix('nss:').replace('a.', '')
        first, second, third = (self.folder / f'{name}-{n}' for n in (1, 2, 3))
        first.mkdir()
        signs = lambda label, at: self.does(
            'request', 'sign', at / f'{label}.csr', '--ca', 'ca.p12#root', '--file', at / f'{label}.pem', '--days', '300')
        self.does(*self.creates(store), at=first)
        for label in ('alice', 'bob'):
            self.does('request', 'create', store, '--label', label, '--key-type', 'ec', '--dn', f'CN={label}', '--file', f'{label}.csr', at=first)
            signs(label, first)
        self.does('request', 'receive', store, 'alice.pem', at=first)
        subprocess.run(['cp', '-a', first, second], check=True)
        self.does('renew', store, 'alice', '--new-key', '--file', 'next.csr', at=second)
        signs('next', second)
        subprocess.run(['cp', '-a', second, third], check=True)
        if not store.startswith('nss:'):
            self.does('renew', store, 'alice', '--publish', 'next.pem', '--file', 'published.pem', at=third)
        for state in (first, second, third):
            for old in state.glob('*.old-*'):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            for rest in [*state.glob('*.lock'), *state.glob('*.update.json'), *state.glob('alice.*'), state / 'bob.csr', state / 'next.csr']:
                rest.unlink(missing_ok=True)
        return first, second, third

    def creates(self, store):
        password = [] if store == 'a.pem' else ['--to-password', f'pass:{PASSWORD}']
        stash = ['--stash'] if store == 'a.kdb' else []
        return ['create', store, self.file('root.pem'), self.world.added, *password, *stash]

    def edits(self, store):
        """Every change of a store: name, command, and what `Edit` wants to know."""
        extra = 'second.example.test'
        if store == 'a.pem':
            extra = 'sha256:' + hashlib.sha256(pem_der(self.world.added)).hexdigest()
        first, second, third = self.states(store)
        settle = ['add', store, self.file('root.pem')]
        carol, renewal = ('alice', 'bob', 'carol'), ('alice', 'bob', 'alice (renewal)')
        say = lambda name, command, **more: (name, command, {'start': first, 'settle': settle} | more)
        asks = ['request', 'create', store, '--label', 'carol', '--key-type', 'ec', '--dn', 'CN=carol', '--file', 'a.csr']
        again = lambda label: ['request', 'recreate', store, label, '--file', 'a.csr', '--force']
        yield say('create', self.creates(store), start=None, keys=((), ()))
        yield say('add', ['add', store, self.world.key])
        yield say('remove', ['remove', store, extra, '--yes'])
        if store != 'a.pem':
            yield say('rename', ['rename', store, extra, 'other'])
        yield say('rename-key', ['rename', store, 'alice', 'alicia'], keys=(('alice', 'bob'), ('alicia', 'bob')))
        trust = {'a.kdb': ['--none'], 'a.p12': ['--anchor', 'all'], 'nss:db': ['--peer', 'server', '--distrust', 'email']}
        if store in trust:
            yield say('trust', ['trust', store, extra, *trust[store]])
        if store == 'a.kdb':
            yield say('default', ['default', store, 'alice'])
        if store in ('a.p12', 'a.pem', 'nss:db'):
            yield say('add-crl', ['add', store, self.file('root.crl')])
        yield say('passwd', ['passwd', store, '--to-password', 'pass:Other-1'], settle=settle + ['--password', 'pass:Other-1'], password='Other-1')
        yield say('keygen', ['keygen', store, '--label', 'carol', '--type', 'ec', '--dn', 'CN=carol'], random=True, keys=(('alice', 'bob'), carol))
        yield say('request', asks, random=True, keys=(('alice', 'bob'), carol), finish=again('carol') + ['--dn', 'CN=carol'])
        recreates = ['request', 'recreate', store, 'bob', '--dn', 'CN=bobby', '--file', 'a.csr']
        if store != 'nss:db':
            yield say('recreate', recreates, random=True, finish=recreates + ['--force'])
        yield say('delete', ['request', 'delete', store, 'bob', '--yes'], keys=(('alice', 'bob'), ('alice',)))
        yield say('receive', ['request', 'receive', store, 'bob.pem'])
        yield say('renew', ['renew', store, 'alice', '--new-key', '--file', 'a.csr'], random=True,
                  keys=(('alice', 'bob'), renewal), finish=again('alice (renewal)') + ['--dn', 'CN=alice'])
        # NSS labels both of alice's keys alike then.
        after = ('bob',) if store == 'nss:db' else ('alice', 'bob')
        yield say('take-over', ['request', 'receive', store, 'next.pem'], start=second, keys=(renewal, after))
        if store != 'nss:db':
            publish = ['renew', store, 'alice', '--publish', 'next.pem', '--file', 'a.csr']
            yield say('publish', publish, start=second, keys=(renewal, renewal), finish=publish + ['--force'])
            yield say('activate', ['renew', store, 'alice', '--activate'], start=third, keys=(renewal, ('alice', 'bob')))
        yield say('extract', ['extract', store, 'alice', 'out.p12', '--key', '--to-password', f'pass:{PASSWORD}'], keys=(('alice',), ('alice',)))


def pem_der(path):
    body = re.search(rb'-----BEGIN CERTIFICATE-----(.*?)-----END', path.read_bytes(), re.S).group(1)
    return base64.b64decode(body)


def edits(world, wanted):
    """Every edit of every format."""
    lives = Lives(world)
    for store in ('a.jks', 'a.p12', 'a.kdb', 'a.pem', 'nss:db'):
        form = store.split(':')[0].removeprefix('a.')
        if wanted != ['edits'] and not any(w.startswith(f'edit-{form}') for w in wanted):
            continue
        stores = ['a.kdb', 'a.rdb', 'a.sth'] if form == 'kdb' else [store]
        for name, command, more in lives.edits(store):
            name = f'edit-{form}-{name}'
            if wanted != ['edits'] and name not in wanted and f'edit-{form}' not in wanted:
                continue
            if name.endswith('-extract'):
                yield Edit(name, command, ['out.p12'], **more)
            elif name == 'edit-kdb-create':
                # The stash comes first; what is there before the kdb is no store yet.
                yield Edit(name, command, ['a.kdb'], **more)
            elif form == 'nss':
                yield EditOfDatabase(name, command, [], **more)
            else:
                yield Edit(name, command, stores, together=len(stores) > 1, **more)


class Stage:
    """A scenario made ready: what was before, what is after, where faults can be."""

    def __init__(self, world, scenario):
        self.world, self.scenario = world, scenario
        self.home = world.top / scenario.name
        self.template = self.home / 'template'
        self.template.mkdir(parents=True)
        if scenario.start:
            subprocess.run(['cp', '-a', f'{scenario.start}/.', self.template], check=True)
        for command in scenario.prepare:
            world.must(command, self.template)
        for store in scenario.stores:
            path = self.template / store
            if path.exists():
                if scenario.owner is not None:
                    os.chown(path, scenario.owner, scenario.owner)
                os.setxattr(path, 'user.note', b'mine')
                path.chmod(0o640)
        self.before = look(self.template)
        self.expected = 7 if scenario.forward else 0
        self.faults, self.after = self.trace(scenario.command, self.expected)
        new = look_after(world, self, scenario.forward) if scenario.forward else self.after
        self.new = new
        if isinstance(scenario, Edit):
            self.faults = list(sampled(self.faults, fewer=True, full=True))
        self.good = {s: {self.before.get(s), new.get(s)} for s in scenario.stores}
        self.whole = {*self.before.values(), *new.values(), *self.after.values()}
        # Of a set the store alone is listed, with the companions that it has then.
        for store in scenario.stores[:1] if scenario.together else scenario.stores:
            for state in (self.before, new):
                beside = [(s, state[s]) for s in scenario.stores[1:] if s in state] if scenario.together else []
                if store in state:
                    self.prove(store, state, beside)

    def prove(self, store, state, beside):
        """These bytes are a whole store: listed with a key and certificates, and the key opens."""
        listed, entries, opened, size = self.world.seen(store, state[store], beside)
        kinds = [kind for kind, _ in entries or []]
        if (listed, opened) != (0, 0) or kinds.count('key') != 1 or 'cert' not in kinds or size < 1000:
            raise SystemExit(f'{store}: not what was prepared: {entries}')
        self.world.count('proved')

    look = staticmethod(lambda work: look(work))

    def trace(self, command, expected):
        work = self.fresh('traced')
        log = self.home / 'trace'
        ran = self.world.run(command, work, strace(log, [f'inject={i}' for i in self.scenario.always]))
        if ran.returncode != expected:
            raise SystemExit(f'{self.scenario.name}: status {ran.returncode}\n{text(ran.stderr)}')
        after = self.look(work)
        for problem in unsynced(log.read_text(errors='replace'), str(work), self.scenario.stores):
            self.world.violation(f'{self.scenario.name}: {problem}')
        return list(find_faults(log.read_text(errors='replace'), str(work), self.scenario)), after

    def fresh(self, name):
        work = self.home / name
        if work.exists():
            shutil.rmtree(work)
        # With hard links, times, owners and attributes.
        subprocess.run(['cp', '-a', self.template, work], check=True)
        return work

    def check(self, fault, worker):
        """One run with one fault, and one without."""
        log = self.home / f'log-{worker}'
        killed = 'KILL' in fault.what
        run = lambda work, options: self.world.run(
            self.scenario.command, work, strace(log, [*(f'inject={i}' for i in self.scenario.always), *options], self.calls(fault)))
        fault, work, ran = strike(fault, log, self.scenario, lambda: self.fresh(f'work-{worker}'), run)
        if not self.struck(fault, ran, log):
            return
        self.inspect(fault, ran, work, killed)
        self.heal(fault, ran, work)

    def struck(self, fault, ran, log):
        """Whether the fault was met; counts it."""
        killed = 'KILL' in fault.what
        if not was_met(fault, ran, log):
            self.bad(fault, ran, f'nothing was injected (status {ran.returncode})')
            return False
        self.world.count('kills' if killed else 'errors')
        return True

    def calls(self, fault):
        """Only what is traced is injected into."""
        return {fault.call, *(i.split(':')[0] for i in self.scenario.always)}

    def is_new(self, store, content):
        """The new store, or one of the same contents: salts differ after some interruptions."""
        new = self.new.get(store)
        return content == new or None not in (content, new) and self.world.same(store, content, new)

    def inspect(self, fault, ran, work, killed):
        message = text(ran.stderr)
        now = self.look(work)
        scenario = self.scenario
        for store in scenario.stores:
            if now.get(store) not in self.good[store]:
                self.bad(fault, ran, f'{store} is neither the old nor the new store')
        if scenario.together and self.set_of(now) not in (self.set_of(self.before), self.set_of(self.new)):
            self.bad(fault, ran, 'one file of the set is old and the other new')
        torn = [n for n, v in now.items() if '.old-' in n and not n.startswith('.') and v not in self.whole]
        if torn:
            self.bad(fault, ran, f'torn old generations: {torn}')
        if 'panicked' in message or ran.returncode == 101:
            self.bad(fault, ran, 'panic')
        if killed:
            return
        kept = {n: v for n, v in now.items() if keeps(n)}
        before = {n: v for n, v in self.before.items() if keeps(n)}
        # Where the way back fails too, the program must say so and where the old store is.
        stuck = 'put back' in message and (fault.lasting or self.scenario.forward) or self.half_said(message, now)
        if ran.returncode == 0 and self.expected == 0:
            if any(now.get(s) != self.new.get(s) for s in scenario.stores):
                self.bad(fault, ran, 'status 0, and a store is not the new one')
        elif ran.returncode == 7 or fault.looks and ran.returncode in (3, 6) or 'EPERM' in fault.what and ran.returncode == 5:
            intact = kept == before or scenario.shrinks and kept.items() <= before.items()
            # A set that can't be given its names again stands in the generation meanwhile.
            intact |= scenario.together and fault.lasting and before.items() <= kept.items()
            if not intact and not stuck:
                self.bad(fault, ran, f'status {ran.returncode}, and the folder is not as it was: {differences(before, kept)}')
        else:
            self.bad(fault, ran, f'status {ran.returncode}')
        litter = [n for n in now if n.endswith('.tmp')]
        if litter and 'unlink' not in fault.call:
            self.bad(fault, ran, f'left behind: {litter}')
        # A fault that mattered, or left less than a faultless run does, has a message with the name in it.
        silent = not any(Path(s).stem + '.' in message for s in scenario.stores)
        if silent and (ran.returncode != self.expected or
                       not fault.looks and set(kept) != {n for n in self.after if keeps(n)}):
            self.bad(fault, ran, 'the message names no store')

    def half_said(self, message, now):
        return False

    def set_of(self, state):
        return [state.get(s) for s in self.scenario.stores]

    def heal(self, fault, ran, work):
        scenario = self.scenario
        now = look(work)
        new = all(now.get(s) == self.new.get(s) for s in scenario.stores)
        once = scenario.name.startswith(('rollback', 'password')) or scenario.name == 'convert-new'
        if not (new and once):
            again = self.world.run(scenario.rerun or scenario.command, work)
            if again.returncode != 0:
                self.bad(fault, again, f'the next run ends with {again.returncode}')
                return
        now = look(work)
        if not all(self.is_new(s, now.get(s)) for s in scenario.stores):
            self.bad(fault, ran, 'after the next run a store is not the new one')
        litter = [n for n in now if n.endswith('.tmp')]
        if litter and not (new and once):
            self.bad(fault, ran, f'after the next run there is still {litter}')
        for store in scenario.stores:
            old = self.before.get(store)
            if old is not None and not scenario.shrinks and old not in [v for n, v in now.items() if n.startswith(scenario.stores[0] + '.old-' if scenario.together else store + '.old-')]:
                self.bad(fault, ran, f'{store} has no old generation with what it was')
        if scenario.shrinks and {n for n in now if '.old-' in n} != {n for n in self.after if '.old-' in n}:
            self.bad(fault, ran, 'after the next run other generations are there')
        torn = [n for n, v in now.items() if '.old-' in n and v not in self.whole]
        if torn:
            self.bad(fault, ran, f'torn old generations after the next run: {torn}')

    def bad(self, fault, ran, what):
        message = ' / '.join(text(ran.stderr).split('\n'))
        self.world.violation(f'{self.scenario.name}: {fault.option()} [{fault.line}]: {what}; said: {message}')


class EditStage(Stage):
    """An edit, which may make keys at random and files beside the store."""

    new = None

    def look(self, work):
        """A set with keys that nobody could foresee counts as the one of the traced run where it lists the same."""
        state = look(work)
        if self.new and self.scenario.random and self.set_of(state) != self.set_of(self.before):
            there = [n for n in self.scenario.stores if n in self.new]
            if all(n in state for n in there) and self.listed(state) == self.listed(self.new):
                state |= {n: self.new[n] for n in there}
        return state

    def listed(self, state):
        return self.world.opened({n: state[n] for n in self.scenario.stores if n in state}, self.scenario)

    def prove(self, store, state, beside):
        """Listed, and every key opens that must."""
        new = state is self.new
        password = self.scenario.password if new else PASSWORD
        status, _, opened = self.world.opened({store: state[store], **dict(beside)}, self.scenario, password)
        wanted = self.scenario.keys[new]
        if status != 0 or not set(wanted) <= set(opened):
            raise SystemExit(f'{self.scenario.name}: not what was prepared: {status}, {opened}')
        self.world.count('proved')

    def half_said(self, message, now):
        """The store is the new one and the file beside it can't be written: then it must be said how to get that."""
        return self.set_of(now) == self.set_of(self.new) and 'a.csr' in message and 'is as it was' not in message

    def heal(self, fault, ran, work):
        scenario = self.scenario
        new = self.set_of(self.look(work)) == self.set_of(self.new)
        commands = [scenario.settle, scenario.finish] if new else [scenario.command]
        for command in filter(None, commands):
            again = self.world.run(command, work)
            if again.returncode != 0:
                self.bad(fault, again, f'the next run, {command[:2]}, ends with {again.returncode}')
                return
        now = self.look(work)
        if self.set_of(now) != self.set_of(self.new):
            self.bad(fault, ran, 'after the next run the store is not the new one')
        missing = [n for n in self.new if keeps(n) and n not in now]
        links = [p.name for p in work.iterdir() if p.is_symlink()]
        litter = [n for n in now if n.endswith('.tmp')] + links + missing
        if litter:
            self.bad(fault, ran, f'after the next run there is still, or not yet: {litter}')
        if self.set_of(self.before) != self.set_of(self.new):
            kept = {n: v for n, v in now.items() if '.old-' in n}
            lost = [s for s in scenario.stores if s in self.before and
                    self.before[s] != self.new.get(s) and self.before[s] not in kept.values()]
            if lost:
                self.bad(fault, ran, f'no old generation has what was: {lost}')


class Databases:
    """A command on an NSS database, which is a folder and is changed where it is: NSS itself looks at what is left.

    Each fault is tried twice: once certutil is the first to open the database afterwards, once the program is.
    """

    def __init__(self, world, name, command, prepare=(), wal=False, status=0, forward=None, fewer=False, full=False,
                 start=None):
        self.world, self.name, self.command, self.expected = world, name, command, status
        self.home = world.top / name
        self.template = self.home / 'template'
        self.template.mkdir(parents=True)
        self.password = self.home / 'password'
        self.password.write_text(PASSWORD)
        if start:
            subprocess.run(['cp', '-a', f'{start}/.', self.template], check=True)
        for step in prepare:
            world.must(step, self.template)
        for file in ('cert9.db', 'key4.db') if wal else ():
            sqlite(self.template / 'db' / file, 'PRAGMA journal_mode = wal')
        self.before = self.state(self.template)
        work = self.fresh('traced')
        log = self.home / 'trace'
        ran = world.run(command, work, strace(log, []))
        if ran.returncode != status:
            raise SystemExit(f'{name}: status {ran.returncode}\n{text(ran.stderr)}')
        self.faults = list(sampled(find_faults(log.read_text(errors='replace'), str(work), Scenario(name, [], [])), fewer, full))
        self.after = self.state(work)
        self.lists = [self.certutil(self.template), self.certutil(work)]
        # Where the command takes its change back, what was in between is seen in another run.
        if forward:
            work = self.fresh('forward')
            world.must(forward, work)
        self.new = self.state(work)
        self.lists.append(self.certutil(work))
        self.forward = forward
        if self.lists[2][0] != 0 or any(status not in (0, 255) for status, _ in self.lists):
            raise SystemExit(f'{name}: not what was prepared: {self.lists}')
        if self.before == self.new:
            raise SystemExit(f'{name}: nothing changes')
        world.count('proved')

    fresh = Stage.fresh
    bad = Stage.bad
    struck = Stage.struck

    @property
    def scenario(self):
        return self

    def state(self, work, name='db'):
        """Every row as it stands; None where there is no database."""
        db = work / name
        if not db.exists():
            return None
        modules = (db / 'pkcs11.txt').read_bytes()
        return rows(db / 'cert9.db', 'nssPublic'), rows(db / 'key4.db', 'nssPrivate', 'metaData'), modules

    def certutil(self, work):
        """What NSS lists. As programs do that may write (-X): a change that was interrupted is theirs to take back."""
        ran = subprocess.run(['certutil', '-X', '-L', '-d', f'sql:{work}/db', '-f', self.password],
                             capture_output=True, timeout=60)
        return ran.returncode, ran.stdout

    def torn(self, work):
        """Old generations that are no whole database."""
        whole = [self.before, self.after, self.new, *(self.state(self.template, p.name) for p in self.template.glob('db.old-*'))]
        return [p.name for p in sorted(work.glob('db.old-*')) if self.state(work, p.name) not in whole]

    def check(self, fault, worker):
        # Each of many writes is looked at by one of both, all else that kills by both.
        both = ('NSS', 'keyferry')
        if 'write' in fault.call:
            both = both[fault.number % 2:][:1]
        for first in both if 'KILL' in fault.what else ('NSS',):
            log = self.home / f'log-{worker}'
            run = lambda work, options: self.world.run(self.command, work, strace(log, options, {fault.call}))
            fault, work, ran = strike(fault, log, Scenario(self.name, [], []), lambda: self.fresh(f'work-{worker}'), run)
            killed = 'KILL' in fault.what
            if not self.struck(fault, ran, log):
                return
            if first == 'NSS':
                self.inspect(fault, ran, work, killed)
            if killed or ran.returncode == 0 or fault.lasting:
                self.heal(fault, ran, work)

    def inspect(self, fault, ran, work, killed):
        message = text(ran.stderr)
        listed = self.certutil(work) if (work / 'db').exists() else None
        now = self.state(work)
        known = {id(s): l for s, l in ((self.before, self.lists[0]), (self.after, self.lists[1]), (self.new, self.lists[2]))}
        same = [s for s in (self.before, self.after, self.new) if s == now]
        if not same:
            self.bad(fault, ran, 'the database is neither the old nor the new one')
        elif now and listed != known[id(same[0])]:
            self.bad(fault, ran, f'certutil ends with {listed[0]}, or lists something else')
        if 'panicked' in message or ran.returncode == 101:
            self.bad(fault, ran, 'panic')
        if self.torn(work):
            self.bad(fault, ran, f'torn old generations: {self.torn(work)}')
        if killed:
            return
        stuck = 'is the new one now' in message and (fault.lasting or self.forward)
        if ran.returncode == 0:
            if now != self.after:
                self.bad(fault, ran, 'status 0, and the database is not the new one')
        elif ran.returncode == 7 or ran.returncode in (3, 6) and (fault.looks or fault.call == 'openat'):
            if now != self.before and not stuck and not self.half_said(message, now):
                self.bad(fault, ran, f'status {ran.returncode}, and the database is not as it was')
            if 'db' not in message and ran.returncode != self.expected and not self.half_said(message, now):
                self.bad(fault, ran, 'the message names no store')
        else:
            self.bad(fault, ran, f'status {ran.returncode}')

    def heal(self, fault, ran, work):
        command = self.forward or self.command
        # Going back twice would go further back.
        done = command[0] in ('rollback', 'convert', 'passwd') and self.state(work) == self.new
        if not done:
            again = self.world.run(command, work)
            if again.returncode != 0:
                self.bad(fault, again, f'the next run ends with {again.returncode}')
                return
        self.inspect_healed(fault, ran, work, not done)

    def half_said(self, message, now):
        return False

    def inspect_healed(self, fault, ran, work, rerun=True):
        if self.state(work) != self.new:
            self.bad(fault, ran, 'after the next run the database is not the new one')
        litter = [p.name for p in [*work.iterdir(), *work.glob('db/*')]
                  if p.name.endswith('.tmp') or '-mj' in p.name or p.name.endswith('-journal') and is_hot(p)]
        if litter and rerun:
            self.bad(fault, ran, f'after the next run there is still {litter}')
        if self.before and 'module' not in self.command:
            old = [rows(p / 'cert9.db', 'nssPublic') for p in work.glob('db.old-*')]
            if self.before[0] not in old:
                self.bad(fault, ran, 'no old generation holds what was')


@dataclasses.dataclass
class EditOfDatabase(Edit):
    def stage(self, world):
        return EditedDatabase(world, self)


class EditedDatabase(Databases):
    """An edit of an NSS database."""

    new = None

    def __init__(self, world, edit):
        self.edit = edit
        super().__init__(world, edit.name, edit.command, fewer=True, full=True, start=edit.start)
        states = (self.template, edit.keys[0], PASSWORD), (self.home / 'traced', edit.keys[1], edit.password)
        for state, keys, password in states:
            opened = self.opened(state, password)[2] if (state / 'db').exists() else []
            if not set(keys) <= set(opened):
                raise SystemExit(f'{edit.name}: not what was prepared: {opened}')

    def opened(self, work, password=PASSWORD, name='db'):
        return self.world.opened_in(work, f'nss:{name}', self.edit, password)

    def torn(self, work):
        """What a change had written before it was taken back is a whole database too."""
        return [name for name in super().torn(work)
                if not self.edit.random or self.opened(work, name=name) != self.opened(self.home / 'traced')]

    def state(self, work, name='db'):
        state = super().state(work, name)
        if self.new and self.edit.random and name == 'db' and state not in (self.before, self.new):
            listed = self.opened(work)
            self.listed = getattr(self, 'listed', None) or self.opened(self.home / 'traced')
            return self.new if listed == self.listed else state
        return state

    def half_said(self, message, now):
        return now == self.new and 'a.csr' in message and 'is as it was' not in message

    def heal(self, fault, ran, work):
        commands = [self.edit.settle, self.edit.finish] if self.state(work) == self.new else [self.command]
        for command in filter(None, commands):
            again = self.world.run(command, work)
            if again.returncode != 0:
                self.bad(fault, again, f'the next run, {command[:2]}, ends with {again.returncode}')
                return
        self.inspect_healed(fault, ran, work)


class Machine:
    """One command on a set of stores of every kind, which are to change all or none.

    After a kill each store is the old or the new one, `status` says so where they differ, and the next run makes all of
    them the new ones. After an error all are the old ones. A configuration and what is staged name stores by their
    whole paths, so that every run has the same folder, one after the other.
    """

    STORES = ('a.kdb', 'b.jks', 'c.p12', 'd.pem', 'nss:db')
    APPLY = ['apply', '--config', 'k.toml']
    STATUS = ['status', *STORES]
    # What a disk says that is full, broken, read-only, another one, or somebody else's. Each call gets one, in turn.
    ERRORS = ('ENOSPC', 'EIO', 'EROFS', 'EXDEV', 'EACCES')

    def __init__(self, world, name, command, prepare=()):
        self.world, self.name, self.command = world, name, command
        self.home = world.top / name
        self.work = self.home / 'work'
        self.work.mkdir(parents=True)
        self.turn = threading.Lock()
        self.known = {}
        world.must(world.rebuild(self.STORES, world.part, '--key', world.key), self.work)
        self.furnish()
        (self.work / 'pw').write_text(PASSWORD)
        (self.work / 'pw').chmod(0o600)
        (self.work / 'k.toml').write_text(self.config())
        self.prepare = prepare
        shutil.copytree(self.work, self.home / 'template', symlinks=True)
        self.fresh()
        self.old = self.bytes_of()
        log = self.home / 'trace'
        ran = world.run(command, self.work, strace(log, []))
        self.new = self.bytes_of()
        if ran.returncode != 0 or any(self.old[s] == self.new[s] for s in self.STORES):
            raise SystemExit(f'{name}: not what was prepared: status {ran.returncode}\n{text(ran.stderr)}')
        self.listed_old, self.listed_new = self.listing(self.home / 'template'), self.listing(self.work)
        world.count('proved', len(self.STORES))
        self.faults = list(self.spread(log.read_text(errors='replace')))

    def furnish(self):
        """What there is besides the stores."""

    def more(self, store):
        """What the configuration says of a store besides."""
        return ''

    def place(self, store, folder):
        """Where a store of a folder is."""
        return store

    def config(self):
        stores = [f'[[store]]\npath = "{self.work}/{s.removeprefix("nss:")}"\npassword = "file:{self.work}/pw"\n{self.more(s)}'
                  for s in self.STORES]
        return (f'state = "{self.work}/state"\ngates = {{ new_cas = false, second_keys = false }}\n'
                f'[[bundle]]\nsource = "{self.world.whole}"\nverify = "none"\n' + ''.join(stores))

    def spread(self, log):
        """Of each call a kill and one error; of the pages of a database few."""
        calls = find_faults(log, str(self.work), Scenario(self.name, [], []), everybody=self.command[0] == 'apply')
        calls = (f for f in calls if not f.lasting and (f.what == 'signal=KILL' or f.what.startswith('error=')))
        turns = 0
        for fault in sampled(calls, fewer=True):
            if fault.what != 'signal=KILL' and not fault.looks:
                errors = os.environ.get('FAULTS_ERRORS') and self.ERRORS or [self.ERRORS[turns % len(self.ERRORS)]]
                turns += 1
                yield from (dataclasses.replace(fault, what=f'error={e}') for e in errors)
            else:
                yield fault

    def bytes_of(self):
        """Every store's own bytes, or rows."""
        places = {s: self.work / self.place(s, self.work) for s in self.STORES[:-1]}
        files = {s: p.read_bytes() if p.exists() else None for s, p in places.items()}
        db = self.work / 'db'
        return files | {'nss:db': (rows(db / 'cert9.db', 'nssPublic'), rows(db / 'key4.db', 'nssPrivate', 'metaData'))}

    def listing(self, folder):
        """What is listed of every store; none where its key doesn't open."""
        return {s: self.one_listing(s, folder) for s in self.STORES}

    def one_listing(self, store, folder):
        place = self.place(store, folder)
        ran = self.world.run(['list', '--json', place], folder)
        opened = self.world.run(['convert', place, 'jceks:-', '--allow-loss'], folder)
        return fingerprints(ran.stdout) if (ran.returncode, opened.returncode) == (0, 0) else None

    def kinds(self):
        """Of each store: is it the old one, the new one, or neither?"""
        now = self.bytes_of()
        return {s: self.kind(s, now[s]) for s in self.STORES}

    def kind(self, store, content):
        if content in (self.old[store], self.new[store]):
            return 'new' if content == self.new[store] else 'old'
        # Salts differ after some interruptions.
        listed = self.one_listing(store, self.work)
        kinds = {str(self.listed_old[store]): 'old', str(self.listed_new[store]): 'new'}
        return kinds.get(str(listed), 'neither') if listed else 'neither'

    def fresh(self):
        """The stores as they were. What is staged for a database fits the very files alone, so it is not copied."""
        shutil.rmtree(self.work)
        subprocess.run(['cp', '-a', self.home / 'template', self.work], check=True)
        for step in self.prepare:
            self.world.must(step, self.work)

    def check(self, fault, worker):
        with self.turn:
            self.fresh()
            log = self.home / 'log'
            ran = self.world.run(self.command, self.work, strace(log, [fault.option()], {fault.call}))
            killed = 'KILL' in fault.what
            injected = re.search(rf'{fault.call}\(.*\(INJECTED\)|killed by SIGKILL', log.read_text(errors='replace'))
            if not injected and ran.returncode != -9:
                return self.bad(fault, ran, f'nothing was injected (status {ran.returncode})')
            self.world.count('kills' if killed else 'errors')
            self.inspect(fault, ran, killed)
            self.heal(fault, ran)

    def inspect(self, fault, ran, killed):
        message, now = text(ran.stderr), self.kinds()
        if 'panicked' in message or ran.returncode == 101:
            self.bad(fault, ran, 'panic')
        if 'neither' in now.values():
            self.bad(fault, ran, f'neither old nor new: {now}')
        if killed:
            if len(set(now.values())) > 1:
                self.is_told(fault, ran, now)
            return
        wanted = 'new' if ran.returncode == 0 else 'old'
        put_back = 'is the new one now' in message
        # The same call of the program that started the worker: it told nobody what had been done.
        untold = "the output can't be written" in message and set(now.values()) == {'new'}
        if set(now.values()) != {wanted} and not put_back and not untold:
            self.bad(fault, ran, f'status {ran.returncode}, and {now}')
        if ran.returncode not in (0, 3, 5, 6, 7, 8):
            self.bad(fault, ran, f'status {ran.returncode}')

    def is_told(self, fault, ran, now):
        """A set that was cut off in the middle is no secret."""
        self.world.count('mixed')
        told = self.world.run(self.STATUS, self.work)
        if 'interrupted' not in text(told.stdout) + text(told.stderr):
            self.bad(fault, ran, f'status is silent about {now}: {text(told.stdout)}')

    def heal(self, fault, ran):
        again = self.world.run([c for c in self.command if c != '--commit'], self.work)
        if again.returncode != 0:
            return self.bad(fault, again, f'the next run ends with {again.returncode}')
        now = self.kinds()
        if set(now.values()) != {'new'}:
            self.bad(fault, ran, f'after the next run: {now}')
        litter = [p.name for p in self.work.iterdir() if p.name.endswith(('.tmp', '.staged')) or p.is_symlink()]
        if litter:
            self.bad(fault, ran, f'after the next run there is still {litter}')

    bad = Stage.bad

    @property
    def scenario(self):
        return self


class Mixed(Machine):
    """A set of which keystore.conf leads to some stores, and the others are replaced where they are.

    Besides what holds of all: the stores that the file leads to are always both old or both new, for one rename
    switches them; and no file that it leads to, or led to, is ever touched.
    """

    STORES = ('c.p12', 'a.kdb', 'd.pem', 'b.jks', 'nss:db')
    POINTED = {'a.kdb': 'cms.keystore', 'b.jks': 'jks.keystore'}
    STATUS = ['status', '--config', 'k.toml']

    def furnish(self):
        self.world.must(['stash', 'a.kdb'], self.work)
        lines = [f'{key} = {self.work}/{Path(store).stem}\n' for store, key in self.POINTED.items()]
        (self.work / 'keystore.conf').write_text(''.join(lines))

    def more(self, store):
        return f'pointer = "{self.work}/keystore.conf"\n' if store in self.POINTED else ''

    def place(self, store, folder):
        if store not in self.POINTED:
            return store
        lines = dict(l.split(' = ') for l in (folder / 'keystore.conf').read_text().splitlines())
        return Path(lines[self.POINTED[store]].replace(str(self.work), str(folder)) + Path(store).suffix)

    def led_to(self):
        """Inode and bytes of every file that the settings lead to, or may have led to."""
        names = {Path(s).stem for s in self.POINTED}
        found = [p for p in self.work.glob('*.gen-*/*') if p.is_file()]
        found += [p for p in self.work.iterdir() if p.name in ('a.kdb', 'a.sth', 'b.jks')]
        return {p: (p.stat().st_ino, p.read_bytes()) for p in found if p.stem in names and not p.name.endswith('.json')}

    def inspect(self, fault, ran, killed):
        super().inspect(fault, ran, killed)
        if len(set(kind for s, kind in self.kinds().items() if s in self.POINTED)) != 1:
            self.bad(fault, ran, f'the settings lead to a mixture: {self.kinds()}')

    def heal(self, fault, ran):
        before = self.led_to()
        super().heal(fault, ran)
        touched = [str(p) for p, was in before.items() if self.led_to().get(p) != was]
        if touched:
            self.bad(fault, ran, f'the next run touched {touched}')


def machines(world):
    """Sets of stores of every kind, changed at once."""
    rebuild = world.rebuild(Machine.STORES, world.whole)
    return {
        'machine-rebuild': lambda n: Machine(world, n, rebuild),
        'machine-apply': lambda n: Machine(world, n, Machine.APPLY),
        'machine-commit': lambda n: Machine(world, n, [*Machine.APPLY, '--commit'], [[*Machine.APPLY, '--stage']]),
        'mixed-apply': lambda n: Mixed(world, n, Mixed.APPLY),
        'mixed-commit': lambda n: Mixed(world, n, [*Mixed.APPLY, '--commit'], [[*Mixed.APPLY, '--stage']]),
        'machine-switch': lambda n: Machine(world, n, [*rebuild, '--commit'], [[*rebuild, '--stage']]),
    }


def is_hot(journal):
    """Whether SQLite would roll it back. One that was not synced is nothing, and the next change makes it anew."""
    return journal.read_bytes()[:1] not in (b'', b'\0')


def sampled(faults, fewer, full=False):
    """A database has a call for each page. Of a row of calls that do the same to one file, the first, the last and
    every twentieth are tried, and one error (with `full` that of a full disk, where there is one); with `fewer` only
    once, and not for locks."""
    place = lambda f: (f.call, re.sub(r'-mj\w+|\.\w+\.new\.tmp', '', re.search(r'[<"][^>"]*[>"]|$', f.line).group()))
    calls = []
    for fault in faults:
        if not calls or calls[-1][0] != (fault.call, fault.number):
            calls.append(((fault.call, fault.number), place(fault), []))
        calls[-1][2].append(fault)
    for at, (_, here, tries) in enumerate(calls):
        before = calls[at - 1][1] if at else None
        after = calls[at + 1][1] if at + 1 < len(calls) else None
        if (before, after) == (here, here) and at % 20:
            continue
        no_room = full and any(f.what == 'error=ENOSPC' for f in tries)
        for fault in tries:
            if fewer and (fault.call == 'fcntl' or fault.lasting):
                continue
            # Nothing changes where a lock is taken or given up.
            if fault.what == ('error=ENOSPC' if no_room else 'error=EIO') or fault.what == 'signal=KILL' and fault.call != 'fcntl':
                yield fault


def databases(world):
    """Every command that changes an NSS database."""
    fresh = [['convert', world.key, 'nss:db'], world.rebuild(['nss:db'], world.whole)]
    part = world.rebuild(['nss:db'], world.part)
    module = ['nss', 'module', 'add', 'db', '--name', 'N', '--library', 'libn.so']
    return {
        'nss-create': lambda n: Databases(world, n, ['convert', world.key, 'nss:db']),
        'nss-rebuild': lambda n: Databases(world, n, part, fresh),
        'nss-log': lambda n: Databases(world, n, part, fresh, wal=True, fewer=True),
        'nss-rollback': lambda n: Databases(world, n, ['rollback', 'nss:db'], fresh, fewer=True),
        'nss-taken-back': lambda n: Databases(world, n, [*part, '--exec', 'exit 3'], fresh, status=7, forward=part, fewer=True),
        'nss-passwd': lambda n: Databases(world, n, ['passwd', 'nss:db', '--to-password', 'pass:Other-1'], fresh, fewer=True, full=True),
        'nss-add': lambda n: Databases(world, n, ['add', 'nss:db', world.added], fresh, fewer=True, full=True),
        'nss-module': lambda n: Databases(world, n, module, fresh),
    }


def rows(file, *tables):
    connection = sqlite3.connect(file)
    try:
        return [row for table in tables for row in connection.execute(f'SELECT * FROM {table} ORDER BY id')]
    finally:
        connection.close()


def sqlite(file, statement):
    connection = sqlite3.connect(file)
    connection.execute(statement).fetchall()
    connection.close()


def strace(log, options, only=None):
    """With `only`, nothing else is written down."""
    calls = ','.join(f'?{c}' for c in sorted(only or CHANGES | LOOKS | MIXED))
    return ['strace', '-f', '-y', '-qq', '-s', '300', '-o', str(log), '-e', f'trace={calls}',
            *[part for o in options for part in ('-e', o)]]


def strike(fault, log, scenario, fresh, run):
    """Runs a command with a fault: the fault, where it ran, and how it ended. Who has an NSS database open is looked for in
    all processes, and those come and go: where the fault was not met, the call is looked for by the number it has now."""
    for _ in range(5):
        work = fresh()
        ran = run(work, [fault.option()])
        if fault.call != 'openat' or was_met(fault, ran, log):
            break
        work = fresh()
        run(work, [])
        found = find_faults(log.read_text(errors='replace'), str(work), scenario)
        same = [f.number for f in found if (f.call, f.what, f.path()) == (fault.call, fault.what, fault.path())]
        fault = dataclasses.replace(fault, number=min(same, key=lambda n: abs(n - fault.number), default=fault.number))
    return fault, work, ran


def was_met(fault, ran, log):
    injected = re.search(rf'{fault.call}\(.*\(INJECTED\)', log.read_text(errors='replace'))
    return ran.returncode == -9 if 'KILL' in fault.what else injected


def find_faults(log, folder, scenario, everybody=False):
    """Every fault for every call that touches `folder`. strace counts calls by name and thread. With `everybody`
    those of other processes too, where they have more calls of the name than who was before them."""
    by_process, before = {}, {}
    main = None
    for line in log.splitlines():
        found = re.match(r'(\d+) +(\w+)\((.*)', line)
        if not found:
            continue
        pid, call, args = found.groups()
        main = main or pid
        if pid != main and not everybody:
            continue
        seen = by_process.setdefault(pid, {})
        seen[call] = number = seen.get(call, 0) + 1
        if number <= before.get(call, 0):
            continue
        before[call] = number
        if any(i.startswith(call + ':') for i in scenario.always):
            continue
        changes = call in CHANGES or call == 'openat' and 'O_CREAT' in args or call == 'fcntl' and 'F_SETLK' in args
        if call == 'fcntl' and not changes or not touches(args, folder):
            continue
        line = f'{call}({args}'.replace(folder, '')[:100]
        if not changes:
            if scenario.looks:
                yield Fault(call, number, 'error=EIO', line, looks=True)
            continue
        yield Fault(call, number, 'signal=KILL', line)
        # Errors of a look at things have statuses of their own.
        looks = call in ('flock', 'fcntl')
        for error in errors_of(call):
            yield Fault(call, number, f'error={error}', line, looks)
        if 'write' not in call:
            # Messages are written too.
            yield Fault(call, number, 'error=EIO', line, looks, lasting=True)


def unsynced(log, folder, stores):
    """Stores that got their place before their bytes or their name were on the disk."""
    written, synced, pending = {}, {}, {}
    for at, line in enumerate(log.splitlines()):
        on_file = re.search(r' (write|pwrite64|fchmod|fsetxattr|fsync)\(\d+<([^>]*)>', line)
        if on_file:
            call, path = on_file.groups()
            (synced if call == 'fsync' else written)[path] = at
            if path == folder and call == 'fsync':
                pending.clear()
        moved = re.search(r' rename\w*\((?:AT_FDCWD<[^>]*>, )?"([^"]+)", (?:AT_FDCWD<[^>]*>, )?"([^"]+)".* = 0$', line)
        if moved and os.path.basename(moved.group(2)) in stores:
            temp = os.path.normpath(os.path.join(folder, moved.group(1)))
            if temp.endswith('.tmp') and temp in written and synced.get(temp, -1) < written[temp]:
                yield f'{temp} was renamed before it was synced'
            pending[moved.group(2)] = at
    for store in pending:
        yield f'the folder was not synced after the rename to {store}'


def touches(args, folder):
    path = re.search(r'"((?:[^"\\]|\\.)*)"', args)
    if path and not re.match(r'\d+<', args):
        name = path.group(1)
        return name.startswith(folder) or not name.startswith('/') and name != ''
    return folder in args.split(',')[0]


def errors_of(call):
    for stem, errors in ERRORS.items():
        if call.startswith(stem) or stem == 'write' and 'write' in call:
            return errors.split()
    return ['ENOSPC', 'EIO']


def look(folder):
    """Files, links to files, and what is in old generations that are folders."""
    inside = [p for p in sorted(Path(folder).glob('[!.]*.old-*/*')) if p.is_file()]
    files = {p.name: p.read_bytes() for p in sorted(Path(folder).iterdir()) if p.is_file()}
    return files | {f'{p.parent.name}/{p.name}': p.read_bytes() for p in inside}


def look_after(world, stage, command):
    work = stage.fresh('forward')
    world.must(command, work)
    return look(work)


def keeps(name):
    """Lock files stay by design, temporary ones are looked at apart; the record is advice."""
    return not name.endswith(('.lock', '.tmp'))


def differences(a, b):
    return sorted(set(a) ^ set(b)) or sorted(n for n in a if a[n] != b[n])


def text(raw):
    return raw.decode(errors='replace').strip()


def readers_and_writers(world, swaps=100):
    """Two writers at once, and readers that never see anything but a whole store."""
    folder = Path(tempfile.mkdtemp(dir=world.top))
    stores = ['a.jks', 'a.p12']
    world.must(world.rebuild(stores, world.whole, '--key', world.key), folder)
    whole = listing(world, folder, stores)
    world.must(world.rebuild(stores, world.part), folder)
    good = [whole, listing(world, folder, stores)]
    done = threading.Event()

    def write(bundles):
        for n in range(swaps // 2):
            ran = world.run(world.rebuild(stores, bundles[n % 2]), folder)
            if ran.returncode != 0:
                world.violation(f'a writer beside another ended with {ran.returncode}: {text(ran.stderr)}')
            world.count('swaps')

    def read(store):
        while not done.is_set():
            ran = world.run(['list', '--json', store], folder)
            if ran.returncode != 0 or fingerprints(ran.stdout) not in [g[store] for g in good]:
                world.violation(f'a reader of {store} saw status {ran.returncode}: {text(ran.stderr)}')
            world.count('reads')

    with concurrent.futures.ThreadPoolExecutor() as pool:
        readers = [pool.submit(read, s) for s in stores]
        writers = [pool.submit(write, b) for b in ((world.part, world.whole), (world.whole, world.part))]
        for writer in writers:
            writer.result()
        done.set()
        for reader in readers:
            reader.result()
    litter = [n for n in look(folder) if n.endswith('.tmp')]
    if litter:
        world.violation(f'left behind by two writers: {litter}')


def listing(world, folder, stores):
    return {s: fingerprints(world.must(['list', '--json', s], folder).stdout) for s in stores}


def fingerprints(out):
    try:
        return sorted((e['kind'], e['sha256']) for e in json.loads(out))
    except ValueError:
        return None


def real_disks(program, testdata):
    """Full, read-only and mounted places, in a mount namespace of their own. Run by `disks`."""
    world = World(program, testdata)
    disk = world.top / 'disk'
    disk.mkdir()
    options = 'size=128k,nr_inodes=64'
    if subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'none', disk], capture_output=True).returncode != 0:
        return 3
    try:
        for store in ('a.jks', 'a.p12'):
            full_disk(world, disk, store)
        mounted(world, disk)
    finally:
        subprocess.run(['umount', '-R', disk], capture_output=True)
        shutil.rmtree(world.top, ignore_errors=True)
    print(json.dumps(world.counts))
    return 1 if world.violations else 0


def full_disk(world, disk, store):
    """With fewer and fewer blocks or inodes left."""
    for inodes in (False, True):
        ends = set()
        for left in range(0, 14):
            empty(disk)
            world.must(world.rebuild([store], world.whole, '--key', world.key), disk)
            before = look(disk)
            fill(disk, left, inodes)
            ran = world.run(world.rebuild([store], world.part), disk)
            now = {n: v for n, v in look(disk).items() if not n.startswith('fill')}
            ends.add(ran.returncode)
            if ran.returncode == 0:
                if now[store] == before[store]:
                    world.violation(f'{store}: disk with {left} left: status 0 and the old store')
            elif ran.returncode != 7 or now != before:
                world.violation(f'{store}: disk with {left} left: status {ran.returncode}, '
                                f'{differences(before, now)}; said: {text(ran.stderr)}')
            world.count('disks')
            for filler in disk.glob('fill*'):
                filler.unlink()
            world.must(world.rebuild([store], world.part), disk)
            world.must(['list', '--json', store], disk)
        if ends != {0, 7}:
            world.violation(f'{store}: a disk that fills up was expected to fail and to suffice: {ends}')


def fill(disk, left, inodes):
    state = os.statvfs(disk)
    if inodes:
        for n in range(max(0, state.f_ffree - left)):
            (disk / f'fill{n}').touch()
    else:
        blocks = max(0, state.f_bfree - left)
        with open(disk / 'fill', 'wb') as filler:
            filler.write(b'x' * blocks * state.f_frsize)


def empty(disk):
    for path in disk.iterdir():
        path.unlink()


def mounted(world, disk):
    """A store that is a mount point of its own, and a read-only disk."""
    empty(disk)
    world.must(world.rebuild(['a.jks'], world.whole, '--key', world.key), disk)
    before = look(disk)
    store = disk / 'a.jks'
    subprocess.run(['mount', '--bind', store, store], check=True)
    ran = world.run(world.rebuild(['a.jks'], world.part), disk)
    subprocess.run(['umount', store], check=True)
    if ran.returncode != 7 or 'mounted' not in text(ran.stderr) or look(disk) != before:
        world.violation(f'a store that is mounted: {ran.returncode}, {differences(before, look(disk))}: {text(ran.stderr)}')
    subprocess.run(['mount', '-o', 'remount,ro', disk], check=True)
    for command in (world.rebuild(['a.jks'], world.part), ['convert', '--force', world.key, 'a.jks'],
                    ['convert', world.key, 'new.p12'], ['prune', 'a.jks']):
        ran = world.run(command, disk)
        if ran.returncode != 7 or 'read-only' not in text(ran.stderr) or look(disk) != before:
            world.violation(f'{command[0]} on a read-only disk: {ran.returncode}: {text(ran.stderr)}')
        world.count('disks')
    subprocess.run(['mount', '-o', 'remount,rw', disk], check=True)


# The status of a run over disks that found something; unshare's own failures are 1.
VIOLATED = 9


def disks(world):
    """Runs `real_disks` where mounting is allowed; returns whether it was."""
    ran = subprocess.run(['unshare', '--mount', '--propagation', 'private', sys.executable, __file__, '--disks',
                          world.program, str(world.testdata)], capture_output=True, timeout=100)
    # Whatever else it ended with is what unshare has to say.
    if ran.returncode not in (0, VIOLATED):
        return False
    sys.stderr.buffer.write(ran.stderr)
    if ran.returncode:
        world.violations.append('disks')
    else:
        for what, n in json.loads(ran.stdout).items():
            world.count(what, n)
    return True


def main():
    if sys.argv[1:2] == ['--disks']:
        sys.exit(VIOLATED if real_disks(*sys.argv[2:4]) else 0)
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    world = World(*sys.argv[1:3])
    wanted = sys.argv[3:]
    try:
        can_inject(world)
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            named = [s for s in scenarios(world) if not wanted or s.name in wanted]
            named += edits(world, wanted) if any(w.startswith('edit') for w in wanted) else []
            stages = list(pool.map(lambda s: s.stage(world), named))
            groups = {'databases': databases(world), 'machines': machines(world)}
            stages += pool.map(lambda d: d[1](d[0]), [d for group, all_of_it in groups.items() for d in all_of_it.items()
                                                      if group in wanted or d[0] in wanted])
            jobs = [(stage, fault) for stage in stages for fault in stage.faults]
            jobs = jobs[::int(os.environ.get('FAULTS_EVERY', 1))]
            list(pool.map(lambda j: j[0].check(j[1], threading.get_ident()), jobs))
        mounts = None
        if not wanted:
            readers_and_writers(world)
            mounts = disks(world)
    finally:
        shutil.rmtree(world.top, ignore_errors=True)
    counts = ', '.join(f'{n} {what}' for what, n in sorted(world.counts.items()))
    print(f'faults: {len(stages)} scenarios, {counts}, mounts {"used" if mounts else "not to be had"}, '
          f'{len(world.violations)} violations')
    sys.exit(1 if world.violations else 0)


def can_inject(world):
    """A failing run says nothing when strace can't do its part."""
    log = world.top / 'probe'
    ran = world.run(['list', world.whole], world.top, strace(log, ['inject=openat:signal=KILL:when=1'], {'openat'}))
    if ran.returncode != -9:
        sys.exit(f'strace can\'t inject faults here: status {ran.returncode}\n{text(ran.stderr)}')


if __name__ == '__main__':
    main()
