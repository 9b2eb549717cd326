//! The one error type: what kind, where, and why.
//!
//! An error is a kind (the caller's exit status and hint hang on it), a place (file, format, entry,
//! byte) and one line of text. Places are filled in from the inside out: a decoder knows the byte,
//! the format the entry, the job the file.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the terms a caller can act upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The bytes could not be had: missing file, permissions, an I/O error.
    Read,
    /// The bytes are not what their format demands.
    Malformed,
    /// Recognised, but not something this program can do.
    Unsupported,
    /// A length, count or amount of work beyond a limit.
    TooLarge,
    /// A password is missing or wrong.
    Password,
    /// Doing it would lose or overwrite something, or break a rule of the caller's.
    Refused,
    /// Somebody else holds the store, or it changed meanwhile.
    Busy,
    /// Writing, syncing or renaming failed; what was there is as it was.
    Write,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: &'static [Kind] = &[
        Kind::Read,
        Kind::Malformed,
        Kind::Unsupported,
        Kind::TooLarge,
        Kind::Password,
        Kind::Refused,
        Kind::Busy,
        Kind::Write,
    ];

    /// The word used in JSON and in the tests' manifests.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Read => "read",
            Kind::Malformed => "malformed",
            Kind::Unsupported => "unsupported",
            Kind::TooLarge => "too-large",
            Kind::Password => "password",
            Kind::Refused => "refused",
            Kind::Busy => "busy",
            Kind::Write => "write",
        }
    }
}

/// Where it went wrong. Every part is optional: it is filled in by whoever knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file as the caller named it.
    pub path: Option<PathBuf>,
    /// The format's name, as in `FORMATS`.
    pub format: Option<&'static str>,
    /// The entry's label.
    pub label: Option<String>,
    /// Byte offset, from the start of the file.
    pub offset: Option<u64>,
}

/// An error of this crate. `Display` is one line without a full stop; the cause is `source()`.
#[derive(Debug)]
pub struct Error {
    // Boxed, so that a `Result` stays two words on hot paths.
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: Cow<'static, str>,
    place: Place,
    hint: Option<Cow<'static, str>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` says what is wrong, in lower case and without a full stop.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Error {
            inner: Box::new(Inner {
                kind,
                message: message.into(),
                place: Place::default(),
                hint: None,
                source: None,
            }),
        }
    }

    /// Shorthand for [`Kind::Malformed`].
    pub fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(Kind::Malformed, message)
    }

    /// Shorthand for [`Kind::Unsupported`].
    pub fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(Kind::Unsupported, message)
    }

    /// Shorthand for [`Kind::TooLarge`].
    pub fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(Kind::TooLarge, message)
    }

    /// Shorthand for [`Kind::Password`].
    pub fn password(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(Kind::Password, message)
    }

    /// Shorthand for [`Kind::Refused`].
    pub fn refused(message: impl Into<Cow<'static, str>>) -> Self {
        Error::new(Kind::Refused, message)
    }

    /// An I/O error while doing `what` (as in "can't open"), of `kind` `Read` or `Write`.
    pub fn io(kind: Kind, what: impl Into<Cow<'static, str>>, source: std::io::Error) -> Self {
        Error::new(kind, what).caused_by(source)
    }

    /// Sets the byte offset, unless an inner layer already has.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.inner.place.offset.get_or_insert(offset);
        self
    }

    /// The same where the offset may not be known.
    #[must_use]
    pub fn at_if(self, offset: Option<u64>) -> Self {
        match offset {
            Some(offset) => self.at(offset),
            None => self,
        }
    }

    /// Adds `base` to the offset: what was nested begins there in the file.
    #[must_use]
    pub fn shifted(mut self, base: u64) -> Self {
        if let Some(o) = &mut self.inner.place.offset {
            *o = o.saturating_add(base);
        }
        self
    }

    /// Forgets the offset: it counts from the start of something that isn't in the file as it stands
    /// (decrypted or re-joined bytes), so it would mislead.
    #[must_use]
    pub fn without_offset(mut self) -> Self {
        self.inner.place.offset = None;
        self
    }

    /// Names the entry, unless an inner layer already has.
    #[must_use]
    pub fn in_entry(mut self, label: impl Into<String>) -> Self {
        self.inner.place.label.get_or_insert_with(|| label.into());
        self
    }

    /// Names the format, unless an inner layer already has.
    #[must_use]
    pub fn in_format(mut self, name: &'static str) -> Self {
        self.inner.place.format.get_or_insert(name);
        self
    }

    /// Names the file, unless an inner layer already has.
    #[must_use]
    pub fn in_file(mut self, path: &Path) -> Self {
        self.inner.place.path.get_or_insert_with(|| path.to_owned());
        self
    }

    /// What to do next; shown by the program as a second line.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.inner.hint.get_or_insert(hint.into());
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// The place, as far as it is known.
    pub fn place(&self) -> &Place {
        &self.inner.place
    }

    /// The text without the place.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// What to do next, if an inner layer knows better than the program's table of kinds.
    pub fn hint_text(&self) -> Option<&str> {
        self.inner.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.inner.place;
        if let Some(path) = &place.path {
            write!(f, "{}: ", Printable(&crate::place::path_text(path)))?;
        }
        if let Some(format) = place.format {
            write!(f, "{format}: ")?;
        }
        if let Some(label) = &place.label {
            write!(f, "entry \"{}\": ", Printable(label))?;
        }
        write!(f, "{}", Printable(&self.inner.message))?;
        if let Some(offset) = place.offset {
            write!(f, " at byte {offset:#x}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_ref().map(|s| s.as_ref() as _)
    }
}

/// Text from a file, safe to print: control, bidirectional and zero-width characters are escaped, so
/// that a name can't forge a line or hide a part of itself.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut from = 0;
        for (at, c) in self.0.char_indices() {
            if is_deceptive(c) {
                f.write_str(&self.0[from..at])?;
                write!(f, "\\u{{{:x}}}", c as u32)?;
                from = at + c.len_utf8();
            }
        }
        f.write_str(&self.0[from..])
    }
}

/// Characters that change how the text around them looks, or are invisible.
pub(crate) fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_file_format_entry_and_byte() {
        let e = Error::malformed("digest does not match")
            .at(8)
            .shifted(0x1f0)
            .in_entry("server")
            .in_format("jks")
            .in_file(Path::new("client.jks"));
        assert_eq!(e.to_string(), "client.jks: jks: entry \"server\": digest does not match at byte 0x1f8");
    }

    #[test]
    fn inner_places_win() {
        let e = Error::malformed("x").at(1).at(2).in_entry("a").in_entry("b");
        assert_eq!(e.place().offset, Some(1));
        assert_eq!(e.place().label.as_deref(), Some("a"));
    }

    #[test]
    fn labels_cannot_forge_lines() {
        let e = Error::password("wrong").in_entry("a\nb\u{202e}c");
        assert_eq!(e.to_string(), "entry \"a\\u{a}b\\u{202e}c\": wrong");
    }
}
