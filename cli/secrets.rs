//! Passwords: what `--password` and its siblings mean, where each comes from, and who may inherit it.
//!
//! A password is fetched when a format first asks for it and not before, so a command that needs none
//! neither prompts nor fails. Files and descriptors are opened at once all the same: from the first
//! password on the process is closed to debuggers, and then `/dev/fd` is closed to itself.

use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::ui::Ui;
use formats::model::Password;
use formats::place::path_text;
use formats::storeset::generation_of;
use formats::{Error, Format, Kind, PasswordUse, Secrets, by_suffix, stash};
use glob::{MatchOptions, Pattern};
use std::collections::HashMap;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};
use zeroize::Zeroizing;

/// The variable that counts where no SPEC was given.
pub const VARIABLE: &str = "KEYFERRY_PASSWORD";
/// A longer line is no password.
const LINE_LIMIT: usize = 64 * 1024;

type Answer = Option<Arc<Password>>;

/// Where a password comes from.
#[derive(Clone, PartialEq, Eq)]
enum Spec {
    Env(String),
    File(PathBuf),
    Fd(u32),
    Stdin,
    Stash(PathBuf),
    Prompt,
    None,
    Literal(Zeroizing<String>),
}

/// What follows `SCHEME:`, as a spec; `None` where it makes no sense.
type Parse = fn(&str) -> Option<Spec>;

/// The schemes that take a value, and the words that stand alone.
const SCHEMES: &[(&str, Parse)] = &[
    ("env:", |v| Some(Spec::Env(v.to_owned()))),
    ("file:", |v| Some(Spec::File(v.into()))),
    ("fd:", |v| v.parse().ok().map(Spec::Fd)),
    ("stash:", |v| Some(Spec::Stash(v.into()))),
    ("pass:", |v| Some(Spec::Literal(Zeroizing::new(v.to_owned())))),
];
const WORDS: &[(&str, Spec)] = &[("stdin", Spec::Stdin), ("prompt", Spec::Prompt), ("none", Spec::None)];

impl Spec {
    fn parse(text: &str) -> Option<Spec> {
        let word = WORDS.iter().find(|(w, _)| *w == text).map(|(_, s)| s.clone());
        word.or_else(|| SCHEMES.iter().find_map(|(s, parse)| parse(text.strip_prefix(s)?)))
    }
}

/// `[NAME=]SPEC`. SPEC begins after the first `=` that a scheme follows, so NAME may hold `=`; a text
/// that begins with a scheme is all SPEC.
fn parse_scoped(text: &str) -> Option<(Option<String>, Spec)> {
    if let Some(spec) = Spec::parse(text) {
        return Some((None, spec));
    }
    text.match_indices('=')
        .find_map(|(at, _)| Spec::parse(&text[at + 1..]).map(|s| (Some(text[..at].to_owned()), s)))
}

/// A SPEC and, once it was needed, its password. The same SPEC given twice is read once.
struct Slot {
    spec: Spec,
    state: Mutex<State>,
}

enum State {
    Waiting(Option<File>),
    Fetched(Answer),
}

/// All passwords of one command.
pub struct Passwords<'a> {
    ui: &'a Ui,
    opened: &'a [(PathBuf, File)],
    slots: Vec<Slot>,
    stores: Vec<(Option<String>, usize)>,
    keys: Vec<(Option<String>, usize)>,
    /// `--password-rules`, in their order.
    rules: Vec<(Pattern, usize)>,
    to: Option<usize>,
    inherited: Mutex<Option<Answer>>,
    /// What a person has said of a store: a command that opens it twice asks once.
    asked: Mutex<HashMap<(String, Asking), Answer>>,
}

/// The texts of the options, as they were given.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// `--password`
    pub password: &'a [String],
    /// `--to-password`
    pub to_password: Option<&'a str>,
    /// `--key-password`
    pub key_password: &'a [String],
    /// Files of passwords that were opened before: with rights that are given up.
    pub opened: &'a [(PathBuf, File)],
}

/// The file that a password is to be read from, by `[NAME=]SPEC`.
pub fn file_of(text: &str) -> Option<PathBuf> {
    match parse_scoped(text)?.1 {
        Spec::File(path) | Spec::Stash(path) => Some(path),
        _ => None,
    }
}

impl<'a> Passwords<'a> {
    /// Parses every SPEC and opens what is to be read. `stores` are those that the command line names;
    /// with `any_store` others may turn up later (trees of folders).
    pub fn new(ui: &'a Ui, given: Given<'a>, stores: &[&StoreArg], any_store: bool) -> Result<Self> {
        let mut all = Passwords {
            ui,
            opened: given.opened,
            slots: Vec::new(),
            stores: Vec::new(),
            keys: Vec::new(),
            rules: Vec::new(),
            to: None,
            inherited: Mutex::new(None),
            asked: Mutex::default(),
        };
        for text in given.password {
            let (name, slot) = all.scoped("--password", "[STORE=]SPEC", text)?;
            if all.stores.iter().any(|(n, s)| *n == name && *s != slot) {
                return Err(Failure::usage_hint(
                    format!("two passwords for {}", name.as_deref().unwrap_or("every store")),
                    "say which store each is for: --password STORE=SPEC",
                ));
            }
            let known = |n: &String| stores.iter().any(|s| s.aliases().contains(n));
            if !any_store && name.as_ref().is_some_and(|n| !known(n)) {
                let name = name.unwrap_or_default();
                return Err(Failure::usage(format!("--password {name}=…: no such store in this command")));
            }
            all.stores.push((name, slot));
        }
        for text in given.key_password {
            let scoped = all.scoped("--key-password", "[LABEL=]SPEC", text)?;
            all.keys.push(scoped);
        }
        if let Some(text) = given.to_password {
            let spec = Spec::parse(text).ok_or_else(|| not_a_spec("--to-password", "SPEC"))?;
            all.to = Some(all.intern(spec)?);
        }
        if all.slots.iter().any(|s| s.spec == Spec::Stdin) && stores.iter().any(|s| s.is_stdio()) {
            return Err(Failure::usage("standard input can't be both a store and a password"));
        }
        Ok(all)
    }

    /// The passwords of a store that is read.
    pub fn of(&self, store: &StoreArg) -> StorePasswords<'_> {
        let mut it = self.named(store.name(), &store.aliases(), Asking::Once);
        it.beside = password_file(&store.path, store.format);
        it
    }

    /// The passwords of a store that doesn't exist yet.
    pub fn of_new(&self, store: &StoreArg) -> StorePasswords<'_> {
        let mut it = self.named(store.name(), &store.aliases(), Asking::Twice);
        it.slot = self.to.or(it.slot);
        it
    }

    /// The password that a store is to have instead of the one that it has. Only `--to-password` or a person can
    /// say it: the variable has the present one.
    pub fn instead(&self, store: &StoreArg) -> formats::Result<Option<Arc<Password>>> {
        match self.to.and_then(|s| self.slots.get(s)) {
            Some(slot) if slot.spec != Spec::Prompt => self.fetch(slot),
            None if !terminal() => Err(Error::password("a new password is needed")
                .hint("give --to-password SPEC; --to-password none leaves unprotected what the format can")
                .in_file(&store.path)),
            _ => require_terminal(&store.name()).and_then(|()| ask(&store.name(), Asking::Twice)),
        }
    }

    /// The passwords of a store that was found in a folder: nobody wants to be asked for each.
    pub fn of_found(&self, path: &Path, format: &'static dyn Format) -> StorePasswords<'_> {
        let name = path_text(path).into_owned();
        let mut it = self.named(name.clone(), &[name], Asking::OnceForAll);
        // An old generation was opened by the password that the stash has, unless that changed.
        // A generation with companions has its own.
        let current =
            generation_of(path).map(|(store, _)| store).filter(|s| s.file_name() != path.file_name());
        it.beside = password_file(current.as_deref().unwrap_or(path), Some(format));
        it
    }

    /// Reads `--password-rules`: a line is `PATTERN = SPEC`, where SPEC is as on the command line. A pattern with
    /// a slash is for whole paths, another for names; `*` stands for anything within a name, `**` for folders
    /// too. Blank lines and those that begin with # are left out.
    pub fn add_rules(&mut self, file: &Path) -> Result {
        let said = |what: &str| Failure::usage(format!("--password-rules {}: {what}", file.display()));
        let text = std::fs::read_to_string(file)
            .map(Zeroizing::new)
            .map_err(|e| Error::password("the password rules can't be read").caused_by(e).in_file(file))?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // The line itself is not repeated: it may hold a password.
            let at = |what: &str| said(&format!("line {}: {what}", number + 1));
            let parts = line.match_indices('=').find_map(|(at, _)| {
                Spec::parse(line[at + 1..].trim_start()).map(|s| (line[..at].trim_end(), s))
            });
            let (pattern, spec) = parts.ok_or_else(|| at("not of the form PATTERN = SPEC"))?;
            let pattern = Pattern::new(pattern).map_err(|e| at(&e.to_string()))?;
            let slot = self.intern(spec)?;
            self.rules.push((pattern, slot));
        }
        Ok(())
    }

    /// The slot that the rules have for a store.
    fn by_rule(&self, name: &str) -> Option<usize> {
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: false,
        };
        let base = name.trim_end_matches('/').rsplit('/').next().unwrap_or(name);
        let fits = |pattern: &Pattern| {
            let whole = pattern.as_str().contains('/');
            pattern.matches_with(if whole { name } else { base }, options)
        };
        self.rules.iter().find(|(pattern, _)| fits(pattern)).map(|(_, slot)| *slot)
    }

    fn named(&self, name: String, aliases: &[String], asking: Asking) -> StorePasswords<'_> {
        let own = self.stores.iter().find(|(n, _)| n.as_ref().is_some_and(|n| aliases.contains(n)));
        let general = || self.stores.iter().find(|(n, _)| n.is_none()).map(|(_, s)| *s);
        let slot = own.map(|(_, s)| *s).or_else(|| self.by_rule(&name)).or_else(general);
        StorePasswords { all: self, name, slot, asking, beside: None, answer: Mutex::new(None) }
    }

    fn scoped(&mut self, option: &str, shape: &str, text: &str) -> Result<(Option<String>, usize)> {
        let (name, spec) = parse_scoped(text).ok_or_else(|| not_a_spec(option, shape))?;
        Ok((name, self.intern(spec)?))
    }

    /// The slot of `spec`, opened if it is new.
    fn intern(&mut self, spec: Spec) -> Result<usize> {
        if let Some(at) = self.slots.iter().position(|s| s.spec == spec) {
            return Ok(at);
        }
        let before = match &spec {
            Spec::File(path) | Spec::Stash(path) => self.opened.iter().find(|(p, _)| p == path),
            _ => None,
        };
        let file = match before {
            Some((path, file)) => Some(file.try_clone().map_err(|e| unopened(path, e))?),
            None => open(&spec)?,
        };
        self.warn_about(&spec, file.as_ref());
        self.slots.push(Slot { spec, state: Mutex::new(State::Waiting(file)) });
        Ok(self.slots.len() - 1)
    }

    fn warn_about(&self, spec: &Spec, file: Option<&File>) {
        let literal = |s: &Spec| matches!(s, Spec::Literal(_));
        // Said once, however many there are.
        if literal(spec) && !self.slots.iter().any(|s| literal(&s.spec)) {
            self.ui.warn(
                "pass: shows the password to other users of this machine; env:, file: and prompt don't",
            );
        }
        let (Spec::File(path) | Spec::Stash(path), Some(Ok(meta))) = (spec, file.map(File::metadata)) else {
            return;
        };
        if meta.is_file() && meta.mode() & 0o044 != 0 {
            self.ui.warn(&format!("{}: other users can read this password file", path.display()));
        }
    }

    /// The password of a slot that doesn't ask a person.
    fn fetch(&self, slot: &Slot) -> formats::Result<Answer> {
        let mut state = lock(&slot.state);
        let file = match &mut *state {
            State::Fetched(answer) => return Ok(answer.clone()),
            State::Waiting(file) => file.take(),
        };
        close_to_debuggers();
        let answer = match &slot.spec {
            Spec::None | Spec::Prompt => None,
            Spec::Literal(text) => Some(password(text.as_bytes().to_vec())),
            Spec::Env(name) => Some(variable(name).ok_or_else(|| {
                Error::password(format!("the variable {name} that a password is to come from is not set"))
            })?),
            Spec::Stdin => Some(first_line(standard_input_byte, "standard input")?),
            Spec::Stash(path) => {
                let file = file.ok_or_else(|| Error::password("the password can't be read again"))?;
                Some(unstash(file).map_err(|e| e.in_file(path))?)
            }
            Spec::File(_) | Spec::Fd(_) => {
                let mut file = file.ok_or_else(|| Error::password("the password can't be read again"))?;
                Some(first_line(|b| file.read(b), "a password file")?)
            }
        };
        *state = State::Fetched(answer.clone());
        Ok(answer)
    }
}

/// The password file that a store has beside it, by the format that its name stands for.
fn password_file(store: &Path, format: Option<&'static dyn Format>) -> Option<PathBuf> {
    let format = format.or_else(|| by_suffix(store))?;
    format.password_file(store).filter(|file| file.is_file())
}

/// The password in a stash.
fn unstash(file: File) -> formats::Result<Arc<Password>> {
    const LIMIT: u64 = 1 << 20;
    let mut bytes = Zeroizing::new(Vec::with_capacity(256));
    file.take(LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::password("the stash can't be read").caused_by(e))?;
    stash::read(&bytes).map(Arc::new)
}

fn not_a_spec(option: &str, shape: &str) -> Failure {
    // The text itself is not repeated: it may be the password.
    Failure::usage_hint(
        format!("{option} takes {shape}, and what was given holds no SPEC"),
        "SPEC is env:NAME, file:PATH, fd:N, stdin, stash:PATH, prompt, none or pass:LITERAL",
    )
}

/// Opens what a SPEC reads from, while that is still possible.
fn open(spec: &Spec) -> formats::Result<Option<File>> {
    let path = match spec {
        Spec::File(path) | Spec::Stash(path) => path.clone(),
        Spec::Fd(n) => PathBuf::from(format!("/dev/fd/{n}")),
        _ => return Ok(None),
    };
    match File::open(&path).or_else(|e| duplicate(spec).ok_or(e)) {
        Ok(file) => Ok(Some(file)),
        Err(e) => Err(unopened(&path, e)),
    }
}

fn unopened(path: &Path, e: std::io::Error) -> Error {
    Error::password("the password can't be read").caused_by(e).in_file(path)
}

/// A descriptor that can't be opened by name (a socket, a pipe of another user) is fetched from ourselves.
fn duplicate(spec: &Spec) -> Option<File> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let Spec::Fd(n) = spec else { return None };
    let own = pidfd_open(getpid(), PidfdFlags::empty()).ok()?;
    pidfd_getfd(own, i32::try_from(*n).ok()?, PidfdGetfdFlags::empty()).ok().map(File::from)
}

fn standard_input_byte(out: &mut [u8]) -> std::io::Result<usize> {
    Ok(rustix::io::read(rustix::stdio::stdin(), out)?)
}

/// The first line, byte by byte: what follows it is somebody else's.
fn first_line(
    mut read: impl FnMut(&mut [u8]) -> std::io::Result<usize>,
    what: &str,
) -> formats::Result<Arc<Password>> {
    let mut line = Zeroizing::new(Vec::with_capacity(256));
    let mut byte = Zeroizing::new([0u8; 1]);
    loop {
        match read(&mut *byte) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::password(format!("{what} can't be read")).caused_by(e)),
            Ok(0) if line.is_empty() => {
                return Err(Error::password(format!("{what} holds no password")));
            }
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if line.len() == LINE_LIMIT => {
                return Err(Error::password(format!("the first line of {what} is too long")));
            }
            Ok(_) => push_wiping(&mut line, byte[0]),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(password(line.to_vec()))
}

/// Grows without leaving an unwiped copy behind.
fn push_wiping(line: &mut Zeroizing<Vec<u8>>, byte: u8) {
    if line.len() == line.capacity() {
        let mut grown = Zeroizing::new(Vec::with_capacity(line.len() * 2));
        grown.extend_from_slice(line);
        *line = grown;
    }
    line.push(byte);
}

fn password(bytes: Vec<u8>) -> Arc<Password> {
    Arc::new(Password::new(bytes))
}

fn variable(name: &str) -> Answer {
    std::env::var_os(name).map(|v| password(v.into_vec()))
}

/// From here on no core dump and no debugger of this user sees our memory.
fn close_to_debuggers() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        // Where the system can't, passwords are as safe as in any other program.
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    });
}

/// No core dumps, from the start: harmless to everything else.
pub fn no_core_dumps() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Core).maximum;
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a person is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Asking {
    /// For this store; an empty answer means that there is no password.
    Once,
    /// For a new store: twice, and not empty.
    Twice,
    /// Only where `prompt` was given, and then one answer counts for all.
    OnceForAll,
}

/// The passwords of one store.
pub struct StorePasswords<'a> {
    all: &'a Passwords<'a>,
    name: String,
    slot: Option<usize>,
    asking: Asking,
    /// A file beside the store that holds its password.
    beside: Option<PathBuf>,
    answer: Mutex<Option<Answer>>,
}

impl StorePasswords<'_> {
    /// Whether somebody said that there is no password.
    pub fn is_left_off(&self) -> bool {
        self.slot.and_then(|s| self.all.slots.get(s)).is_some_and(|s| s.spec == Spec::None)
    }

    /// The password without asking a person who was not asked before, unless `prompt` was given.
    fn known(&self) -> formats::Result<Answer> {
        self.resolve(false)
    }

    fn resolve(&self, may_ask: bool) -> formats::Result<Answer> {
        let mut answer = lock(&self.answer);
        if let Some(known) = &*answer {
            return Ok(known.clone());
        }
        let slot = self.slot.and_then(|s| self.all.slots.get(s));
        let found = match slot {
            Some(slot) if slot.spec == Spec::Prompt => self.prompt()?,
            Some(slot) => self.all.fetch(slot)?,
            None => match self.beside_or_variable()? {
                Some(password) => Some(password),
                None if !may_ask || self.asking == Asking::OnceForAll => return Ok(None),
                None if !terminal() => None,
                None => self.ask()?,
            },
        };
        *answer = Some(found.clone());
        Ok(found)
    }

    /// The password in the file beside the store, else that of the variable. A file that can't be read is
    /// an error only where there is nothing else.
    fn beside_or_variable(&self) -> formats::Result<Answer> {
        let Some(path) = &self.beside else { return Ok(from_variable()) };
        close_to_debuggers();
        let unreadable = |e| Error::password("the password can't be read").caused_by(e);
        match File::open(path).map_err(unreadable).and_then(unstash) {
            Ok(password) => Ok(Some(password)),
            Err(e) => from_variable().map(Some).ok_or_else(|| {
                e.in_file(path).hint("give the store's password with --password SPEC; none lists without it")
            }),
        }
    }

    fn ask(&self) -> formats::Result<Answer> {
        let mut asked = lock(&self.all.asked);
        let key = (self.name.clone(), self.asking);
        if let Some(answer) = asked.get(&key) {
            return Ok(answer.clone());
        }
        let answer = ask(&self.name, self.asking)?;
        asked.insert(key, answer.clone());
        Ok(answer)
    }

    fn prompt(&self) -> formats::Result<Answer> {
        if self.asking != Asking::OnceForAll {
            return require_terminal(&self.name).and_then(|()| match self.ask()? {
                // Asked on purpose: the empty answer is the empty password.
                None => Ok(Some(password(Vec::new()))),
                answer => Ok(answer),
            });
        }
        let mut shared = lock(&self.all.inherited);
        if let Some(answer) = &*shared {
            return Ok(answer.clone());
        }
        require_terminal("all stores")?;
        let answer = ask("all stores", Asking::Once)?;
        *shared = Some(answer.clone());
        Ok(answer)
    }
}

impl Secrets for StorePasswords<'_> {
    fn store(&self) -> formats::Result<Answer> {
        self.resolve(true)
    }

    fn key(&self, label: Option<&str>) -> formats::Result<Vec<Arc<Password>>> {
        let exact = |n: &Option<String>| n.is_some() && n.as_deref() == label;
        // Java folds the case of labels, so people write them as they remember them.
        let folded = |n: &Option<String>| match (n, label) {
            (Some(n), Some(l)) => n != l && n.to_lowercase() == l.to_lowercase(),
            _ => false,
        };
        let general = |n: &Option<String>| n.is_none();
        let mut out = Vec::new();
        for fits in [&exact as &dyn Fn(&Option<String>) -> bool, &folded, &general] {
            for (name, slot) in self.all.keys.iter().filter(|(n, _)| fits(n)) {
                let Some(slot) = self.all.slots.get(*slot) else { continue };
                let name = name.as_deref().or(label).unwrap_or(&self.name);
                out.extend(match slot.spec {
                    Spec::Prompt => self.all.ask_for_key(slot, name)?,
                    _ => self.all.fetch(slot)?,
                });
            }
        }
        Ok(out)
    }
}

impl Passwords<'_> {
    /// What a destination was given: by its name, else by `--to-password`.
    fn own(&self, aliases: &[String]) -> Option<&Slot> {
        let named = self.stores.iter().find(|(n, _)| n.as_ref().is_some_and(|n| aliases.contains(n)));
        named.map(|(_, s)| *s).or(self.to).and_then(|s| self.slots.get(s))
    }

    /// `--key-password LABEL=prompt`: one question for each SPEC.
    fn ask_for_key(&self, slot: &Slot, name: &str) -> formats::Result<Answer> {
        let mut state = lock(&slot.state);
        if let State::Fetched(answer) = &*state {
            return Ok(answer.clone());
        }
        require_terminal(name)?;
        let answer = ask(&format!("the key {name}"), Asking::Once)?;
        *state = State::Fetched(answer.clone());
        Ok(answer)
    }
}

/// The passwords of a destination: its own, else what the source was opened with.
pub struct DestinationPasswords<'a> {
    source: &'a StorePasswords<'a>,
    own: Option<&'a Slot>,
    uses: PasswordUse,
    name: String,
    answer: Mutex<Option<Answer>>,
}

impl<'a> DestinationPasswords<'a> {
    /// Those of `to`, beside those of its source.
    pub fn new(source: &'a StorePasswords<'a>, to: &crate::place::Destination) -> Result<Self> {
        let own = source.all.own(&to.store.aliases());
        let uses = to.format.carries().password;
        if uses == PasswordUse::Never && own.is_some_and(|s| s.spec != Spec::None) {
            return Err(Failure::usage(format!(
                "--to-password: the format {} protects nothing with a password",
                to.format.name()
            )));
        }
        let name = if to.store.is_stdio() { "standard output".to_owned() } else { to.store.name() };
        Ok(DestinationPasswords { source, own, uses, name, answer: Mutex::new(None) })
    }

    fn resolve(&self) -> formats::Result<Answer> {
        let all = self.source.all;
        if let Some(own) = self.own {
            return match own.spec {
                Spec::Prompt => require_terminal(&self.name).and_then(|()| ask(&self.name, Asking::Twice)),
                _ => all.fetch(own),
            };
        }
        if self.uses == PasswordUse::Never {
            return Ok(None);
        }
        match self.source.known()? {
            Some(password) if !password.bytes().is_empty() => Ok(Some(password)),
            _ if terminal() => ask(&self.name, Asking::Twice),
            inherited => Err(Error::password(match inherited {
                Some(_) => "the source's empty password is not taken over, so one is needed",
                None => "a password is needed, and the source has none",
            })
            .in_file(Path::new(&self.name))
            .hint("give --to-password SPEC; --to-password none writes what the format can hold unprotected")),
        }
    }
}

impl Secrets for DestinationPasswords<'_> {
    fn store(&self) -> formats::Result<Answer> {
        let mut answer = lock(&self.answer);
        if let Some(known) = &*answer {
            return Ok(known.clone());
        }
        let found = self.resolve()?;
        *answer = Some(found.clone());
        Ok(found)
    }

    /// `--key-password` opens the source's keys; the destination's are under its store's password.
    fn key(&self, _: Option<&str>) -> formats::Result<Vec<Arc<Password>>> {
        Ok(Vec::new())
    }
}

fn from_variable() -> Answer {
    let found = variable(VARIABLE);
    if found.is_some() {
        close_to_debuggers();
    }
    found
}

fn terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn require_terminal(name: &str) -> formats::Result<()> {
    if terminal() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Password,
        format!("the password for {name} can't be asked for: there is no terminal"),
    ))
}

/// Asks at the terminal. `None`: the answer was empty.
fn ask(name: &str, asking: Asking) -> formats::Result<Answer> {
    close_to_debuggers();
    let name = formats::error::Printable(name);
    if asking != Asking::Twice {
        return Ok(read_hidden(&format!("Password for {name}: "))?.map(|p| password(p.as_bytes().to_vec())));
    }
    let first = read_hidden(&format!("New password for {name}: "))?
        .ok_or_else(|| Error::password("an empty password is not taken from a prompt"))?;
    let second = read_hidden("Once more: ")?;
    if second.as_deref().map(String::as_str) != Some(first.as_str()) {
        return Err(Error::password("the two passwords differ"));
    }
    Ok(Some(password(first.as_bytes().to_vec())))
}

fn read_hidden(prompt: &str) -> formats::Result<Option<Zeroizing<String>>> {
    match rpassword::prompt_password(prompt) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(e) => Err(Error::password("the password can't be read from the terminal").caused_by(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::Color;
    use std::ffi::OsStr;

    fn scheme(text: &str) -> Option<(Option<String>, String)> {
        parse_scoped(text).map(|(name, spec)| {
            let shown = match spec {
                Spec::Env(v) => format!("env {v}"),
                Spec::File(v) => format!("file {}", v.display()),
                Spec::Fd(n) => format!("fd {n}"),
                Spec::Stdin => "stdin".into(),
                Spec::Stash(v) => format!("stash {}", v.display()),
                Spec::Prompt => "prompt".into(),
                Spec::None => "none".into(),
                Spec::Literal(v) => format!("pass {}", *v),
            };
            (name, shown)
        })
    }

    #[test]
    fn spec_begins_after_the_first_equals_sign_that_a_scheme_follows() {
        let some = |name: Option<&str>, spec: &str| Some((name.map(str::to_owned), spec.to_owned()));
        assert_eq!(scheme("env:A"), some(None, "env A"));
        assert_eq!(scheme("a=b=env:A=file:x"), some(Some("a=b"), "env A=file:x"));
        assert_eq!(scheme("pkcs11:token=t;id=%01=pass:x=y"), some(Some("pkcs11:token=t;id=%01"), "pass x=y"));
        assert_eq!(scheme("pass:a=env:b"), some(None, "pass a=env:b"));
        assert_eq!(scheme("pass:"), some(None, "pass "));
        assert_eq!(scheme("=none"), some(Some(""), "none"));
        assert_eq!(scheme("x=stdin"), some(Some("x"), "stdin"));
        assert_eq!(scheme("x=stdinx"), None);
        assert_eq!(scheme("hunter2"), None);
        assert_eq!(scheme("fd:x"), None);
        assert_eq!(scheme("s=fd:3"), some(Some("s"), "fd 3"));
        assert_eq!(scheme("s=stash:a.sth"), some(Some("s"), "stash a.sth"));
    }

    fn given<'a>(password: &'a [String], to: Option<&'a str>, key: &'a [String]) -> Given<'a> {
        Given { password, to_password: to, key_password: key, opened: &[] }
    }

    fn store(text: &str) -> StoreArg {
        StoreArg::parse(OsStr::new(text))
    }

    fn text(answer: formats::Result<Answer>) -> Option<String> {
        answer.expect("a password").map(|p| String::from_utf8_lossy(p.bytes()).into_owned())
    }

    #[test]
    fn own_specs_outrank_general_ones() {
        let ui = Ui::new(Color::Never, true);
        let specs = ["pass:all".to_owned(), "jks:b=pass:own".to_owned()];
        let (a, b) = (store("a"), store("jks:b"));
        let all = Passwords::new(&ui, given(&specs, None, &[]), &[&a, &b], false).expect("specs");
        assert_eq!(text(all.of(&a).store()), Some("all".into()));
        assert_eq!(text(all.of(&b).store()), Some("own".into()));
    }

    #[test]
    fn mistakes_are_usage_errors_and_never_repeat_the_password() {
        let ui = Ui::new(Color::Never, true);
        let a = store("a");
        for bad in [&["hunter2"][..], &["pass:x", "pass:y"], &["typo=pass:hunter2"]] {
            let bad: Vec<String> = bad.iter().map(|s| (*s).to_owned()).collect();
            let e = Passwords::new(&ui, given(&bad, None, &[]), &[&a], false).err().expect("wrong");
            assert_eq!(e.status(), 2);
            assert!(!format!("{e:?}").contains("hunter2"));
        }
        let stdin = ["stdin".to_owned()];
        let e = Passwords::new(&ui, given(&stdin, None, &[]), &[&store("-")], false).err();
        assert_eq!(e.map(|e| e.status()), Some(2));
    }

    #[test]
    fn files_give_their_first_line() {
        let ui = Ui::new(Color::Never, true);
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("p");
        std::fs::write(&file, "höhö \r\nsecond").expect("file");
        let specs = [format!("file:{}", file.display())];
        let a = store("a");
        let all = Passwords::new(&ui, given(&specs, None, &[]), &[&a], false).expect("specs");
        // Twice, for the file is read once.
        assert_eq!(text(all.of(&a).store()), Some("höhö ".into()));
        assert_eq!(text(all.of(&a).store()), Some("höhö ".into()));
        let missing = ["file:/nonexistent/p".to_owned()];
        let e = Passwords::new(&ui, given(&missing, None, &[]), &[&a], false).err();
        assert_eq!(e.map(|e| e.status()), Some(4));
    }

    #[test]
    fn key_passwords_most_specific_first() {
        let ui = Ui::new(Color::Never, true);
        let keys = ["pass:any".to_owned(), "Alice=pass:folded".to_owned(), "alice=pass:own".to_owned()];
        let a = store("a");
        let all = Passwords::new(&ui, given(&[], None, &keys), &[&a], false).expect("specs");
        let of = |label| {
            let found = all.of(&a).key(label).expect("passwords");
            found.iter().map(|p| String::from_utf8_lossy(p.bytes()).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(of(Some("alice")), ["own", "folded", "any"]);
        assert_eq!(of(Some("bob")), ["any"]);
        assert_eq!(of(None), ["any"]);
    }

    fn destination(source: &str, to: Option<&str>) -> formats::Result<Option<String>> {
        let ui = Ui::new(Color::Never, true);
        let specs = [source.to_owned()];
        let a = store("a");
        let all = Passwords::new(&ui, given(&specs, to, &[]), &[&a], false).expect("specs");
        let from = all.of(&a);
        let (uses, name) = (PasswordUse::Always, "to".to_owned());
        let to = DestinationPasswords {
            source: &from,
            own: from.all.own(&[]),
            uses,
            name,
            answer: Mutex::new(None),
        };
        to.store().map(|a| a.map(|p| String::from_utf8_lossy(p.bytes()).into_owned()))
    }

    #[test]
    fn destinations_inherit_real_passwords_only() {
        assert_eq!(destination("pass:x", None).ok(), Some(Some("x".into())));
        assert_eq!(destination("pass:x", Some("pass:y")).ok(), Some(Some("y".into())));
        assert_eq!(destination("pass:x", Some("none")).ok(), Some(None));
        assert_eq!(destination("pass:x", Some("pass:")).ok(), Some(Some(String::new())));
        // Under a terminal these would ask; tests run without one.
        if !terminal() {
            assert_eq!(destination("pass:", None).map_err(|e| e.kind()), Err(Kind::Password));
            assert_eq!(destination("none", None).map_err(|e| e.kind()), Err(Kind::Password));
        }
    }
}
