//! Patterns for names, and how well a name fits one.

use super::parse::{Written, WrittenPair, WrittenValue, parse};
use super::{Attribute, attributes, fold};
use crate::asn1::plain;
use crate::error::Result;
use std::borrow::Cow;

/// A pattern for subjects or issuers, parsed once.
#[derive(Clone, Debug)]
pub struct Pattern {
    wanted: Wanted,
    exact: bool,
}

/// How a name fits a pattern, best first. For MQ AMS only `Exact` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// The same RDNs in the same order with the same values, character by character.
    Exact,
    /// The same RDNs in another order.
    Reordered,
    /// It differs in the case of letters or in blanks.
    Folded,
}

impl Grade {
    /// The word for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Grade::Exact => "exact",
            Grade::Reordered => "reordered",
            Grade::Folded => "folded",
        }
    }
}

/// That a name fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// How what the pattern says compares.
    pub grade: Grade,
    /// The pattern names every attribute of the name, without wildcards.
    pub whole: bool,
}

#[derive(Clone, Debug)]
enum Wanted {
    /// The pieces between wildcards occur in a value, one behind the other: as written, and folded.
    Substring(Vec<String>, Vec<String>),
    /// These attributes.
    Name(Vec<Vec<Pair>>),
}

/// One attribute that is asked for.
#[derive(Clone, Debug)]
struct Pair {
    oid: Vec<u8>,
    value: WrittenValue,
    folded: WrittenValue,
}

impl Pattern {
    /// Parses `CN=colin,O=SSS` in any usual dialect (RFC 4514, RFC 1779 quotes, OpenSSL's slashes and
    /// `C = GB, O = X`, blanks and semicolons), or takes the whole text as a substring when there is no
    /// `=`. `*` in a value, and in a substring, stands for anything, `\*` in a value for itself.
    ///
    /// Without `exact`, the attributes may stand in any order, others may stand between them, and values
    /// compare without regard to case and to repeated blanks (RFC 5280 section 7.1). With `exact`
    /// (`--dn-exact`), the whole name must consist of just these, in the order in which this dialect is
    /// printed, and values compare character by character, as MQ AMS does.
    pub fn parse(text: &str, exact: bool) -> Result<Pattern> {
        let wanted = if text.contains('=') {
            Wanted::Name(in_order(parse(text)?))
        } else {
            let pieces: Vec<String> = text.split('*').map(str::to_owned).collect();
            let folded = folded(&pieces);
            Wanted::Substring(pieces, folded)
        };
        Ok(Pattern { wanted, exact })
    }

    /// Whether a whole `Name` element matches.
    pub fn matches(&self, name: &[u8]) -> bool {
        match &self.wanted {
            Wanted::Substring(pieces, _) if self.exact => has_pieces(name, pieces),
            Wanted::Substring(_, folded) => match folded.as_slice() {
                [only] => may_contain(name, only) && attributes(name).any(|a| value_contains(&a, only)),
                pieces => attributes(name)
                    .any(|a| a.text().is_some_and(|t| contains_pieces(&fold_owned(t), pieces))),
            },
            Wanted::Name(rdns) if self.exact => {
                let have: Vec<_> = attributes(name).collect();
                same_sequence(rdns, &have)
            }
            Wanted::Name(rdns) => {
                let pairs = || rdns.iter().flatten();
                pairs().all(|p| attributes(name).any(|a| p.fits(&a)))
                    && (pairs().nth(1).is_none() || {
                        let have: Vec<_> = attributes(name).collect();
                        assignable(pairs().collect::<Vec<_>>().as_slice(), &have, Pair::fits)
                    })
            }
        }
    }

    /// How a whole `Name` element matches, if it does.
    pub fn hit(&self, name: &[u8]) -> Option<Hit> {
        if !self.matches(name) {
            return None;
        }
        let rdns = match &self.wanted {
            Wanted::Substring(pieces, _) => {
                let grade = if has_pieces(name, pieces) { Grade::Exact } else { Grade::Folded };
                return Some(Hit { grade, whole: false });
            }
            Wanted::Name(rdns) => rdns,
        };
        let have: Vec<_> = attributes(name).collect();
        let pairs: Vec<_> = rdns.iter().flatten().collect();
        let complete = pairs.len() == have.len();
        let in_sequence = if complete { same_sequence(rdns, &have) } else { is_subsequence(&pairs, &have) };
        let grade = match in_sequence {
            true => Grade::Exact,
            false if assignable(&pairs, &have, Pair::is) => Grade::Reordered,
            false => Grade::Folded,
        };
        let literal = pairs.iter().all(|p| !matches!(&p.value, WrittenValue::Text(t) if t.len() != 1));
        Some(Hit { grade, whole: complete && literal })
    }
}

/// The RDNs in the order of the encoding.
fn in_order(written: Written) -> Vec<Vec<Pair>> {
    let mut rdns: Vec<Vec<Pair>> =
        written.rdns.into_iter().map(|rdn| rdn.into_iter().map(Pair::from).collect()).collect();
    if !written.as_encoded {
        rdns.reverse();
    }
    rdns
}

/// The very name: RDN by RDN; inside one the order doesn't count.
fn same_sequence(wanted: &[Vec<Pair>], have: &[Attribute<'_>]) -> bool {
    let mut rest = have;
    wanted.iter().all(|rdn| {
        let Some((first, others)) = rest.split_first() else { return false };
        let len = 1 + others.iter().take_while(|a| a.rdn == first.rdn).count();
        let (group, behind) = rest.split_at(len);
        rest = behind;
        len == rdn.len() && assignable(&rdn.iter().collect::<Vec<_>>(), group, Pair::is)
    }) && rest.is_empty()
}

fn is_subsequence(wanted: &[&Pair], have: &[Attribute<'_>]) -> bool {
    let mut rest = have.iter();
    wanted.iter().all(|p| rest.any(|a| p.is(a)))
}

/// Whether each pair can have an attribute of its own. Augmenting paths: a pair takes an attribute over when
/// its holder finds another.
fn assignable(wanted: &[&Pair], have: &[Attribute<'_>], fits: fn(&Pair, &Attribute<'_>) -> bool) -> bool {
    fn place(
        pair: usize,
        fits: &dyn Fn(usize, usize) -> bool,
        holder: &mut [Option<usize>],
        tried: &mut [bool],
    ) -> bool {
        for at in 0..holder.len() {
            if tried[at] || !fits(pair, at) {
                continue;
            }
            tried[at] = true;
            if holder[at].is_none_or(|other| place(other, fits, holder, tried)) {
                holder[at] = Some(pair);
                return true;
            }
        }
        false
    }
    let mut holder = vec![None; have.len()];
    (0..wanted.len()).all(|pair| {
        let mut tried = vec![false; have.len()];
        place(pair, &|p, a| fits(wanted[p], &have[a]), &mut holder, &mut tried)
    })
}

impl From<WrittenPair> for Pair {
    fn from(pair: WrittenPair) -> Self {
        let folded = match &pair.value {
            WrittenValue::Raw(bytes) => WrittenValue::Raw(bytes.clone()),
            WrittenValue::Text(pieces) => WrittenValue::Text(folded(pieces)),
        };
        Pair { oid: pair.oid, value: pair.value, folded }
    }
}

/// Folding one piece must keep the blanks beside a wildcard.
fn folded(pieces: &[String]) -> Vec<String> {
    let last = pieces.len().saturating_sub(1);
    let one = |(i, p): (usize, &String)| {
        let mut f = fold(p).into_owned();
        if !f.is_empty() && i > 0 && p.starts_with(' ') {
            f.insert(0, ' ');
        }
        if !f.is_empty() && i < last && p.ends_with(' ') {
            f.push(' ');
        }
        f
    };
    pieces.iter().enumerate().map(one).collect()
}

impl Pair {
    /// Fits character by character.
    fn is(&self, attribute: &Attribute<'_>) -> bool {
        attribute.oid == self.oid
            && match &self.value {
                WrittenValue::Raw(bytes) => attribute.raw == bytes,
                WrittenValue::Text(pieces) => attribute.text().is_some_and(|t| pieces_match(pieces, &t)),
            }
    }

    /// Fits but for case and blanks.
    fn fits(&self, attribute: &Attribute<'_>) -> bool {
        if attribute.oid != self.oid {
            return false;
        }
        match &self.folded {
            WrittenValue::Raw(bytes) => attribute.raw == bytes,
            // Nearly all values: no text is built for them.
            WrittenValue::Text(pieces)
                if matches!(attribute.tag.0, 0x0c | 0x13 | 0x16) && attribute.content.is_ascii() =>
            {
                match pieces.as_slice() {
                    [only] => equals_folded(attribute.content, only),
                    _ => attribute.text().is_some_and(|t| pieces_match(pieces, &fold(&t))),
                }
            }
            WrittenValue::Text(pieces) => {
                attribute.text().is_some_and(|t| pieces_match(pieces, &fold_owned(t)))
            }
        }
    }
}

/// Whether ASCII `text`, folded, is `folded`.
fn equals_folded(text: &[u8], folded: &str) -> bool {
    let blank = |b: u8| b.is_ascii_whitespace() || b == 0x0b;
    let mut last = b' ';
    let mut wanted = folded.bytes();
    for b in text {
        let b = if blank(*b) { b' ' } else { b.to_ascii_lowercase() };
        // A blank counts when something follows it.
        if b != b' ' && (last == b' ' && wanted.len() != folded.len() && wanted.next() != Some(b' ')) {
            return false;
        }
        if b != b' ' && wanted.next() != Some(b) {
            return false;
        }
        last = b;
    }
    wanted.len() == 0
}

fn value_contains(attribute: &Attribute<'_>, needle: &str) -> bool {
    let c = attribute.content;
    // UTF8String, PrintableString, IA5String hold nearly all names: no text is built for them.
    if needle.is_ascii() && matches!(attribute.tag.0, 0x0c | 0x13 | 0x16) {
        if contains_ascii(c, needle.as_bytes()) {
            return true;
        }
        // Folding makes one blank of many, and of what else is white.
        let is_white = |b: &u8| matches!(b, b' ' | 0x09..=0x0d);
        let blanks = needle.contains(' ') && (!c.is_ascii() || c.iter().any(is_white));
        if !blanks && !has_ascii_in_disguise(c) {
            return false;
        }
    }
    attribute.text().is_some_and(|t| fold(&t).contains(needle))
}

/// Whether a value has these pieces, character by character.
fn has_pieces(name: &[u8], pieces: &[String]) -> bool {
    attributes(name).any(|a| a.text().is_some_and(|t| contains_pieces(&t, pieces)))
}

/// Whether these pieces occur in `text`, one behind the other.
fn contains_pieces(text: &str, pieces: &[String]) -> bool {
    let mut rest = text;
    pieces.iter().all(|piece| match rest.find(piece.as_str()) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

/// False for names that can't have `needle` in a value: most of a long list are told by a look at their bytes.
fn may_contain(name: &[u8], needle: &str) -> bool {
    // Not the header, whose length may look like a tag below.
    let name = plain(name, 0).map_or(name, |(_, start, end)| &name[start..end]);
    // What may be the tag of a value with two or four bytes a letter (BMPString, UniversalString).
    let wide = name.iter().fold(false, |any, b| any | matches!(b, 0x1e | 0x1c));
    let plain = needle.is_ascii() && !needle.contains(' ') && !wide && !has_ascii_in_disguise(name);
    !plain || contains_ascii(name, needle.as_bytes())
}

/// Whether there is one of the two letters outside ASCII whose lower case begins with one of it (the Kelvin sign, the
/// dotted capital I).
fn has_ascii_in_disguise(text: &[u8]) -> bool {
    let pairs = text.iter().zip(text.iter().skip(1));
    pairs.fold(false, |any, (a, b)| any | matches!((*a, *b), (0xc4, 0xb0) | (0xe2, 0x84)))
}

/// Whether ASCII `needle`, in lower case, occurs in `text` in any case.
fn contains_ascii(text: &[u8], needle: &[u8]) -> bool {
    // Names are full of letters and blanks, so that other characters are looked for first, then rare letters.
    let rare = needle.iter().position(|b| !b.is_ascii_alphabetic() && *b != b' ');
    let at = rare.or_else(|| needle.iter().position(|b| b"jqxzkvwy".contains(b))).unwrap_or(0);
    let Some(byte) = needle.get(at) else { return true };
    let fits = |found: usize| {
        let window = found.checked_sub(at).and_then(|from| text.get(from..from + needle.len()));
        window.is_some_and(|w| w.eq_ignore_ascii_case(needle))
    };
    match byte.is_ascii_alphabetic() {
        true => memchr::memchr2_iter(*byte, byte.to_ascii_uppercase(), text).any(fits),
        false => memchr::memchr_iter(*byte, text).any(fits),
    }
}

/// Whether `text` is these pieces with anything between them.
pub(crate) fn pieces_match(pieces: &[String], text: &str) -> bool {
    match pieces {
        [] => true,
        [only] => text == only,
        [first, middle @ .., last] => {
            let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
            for piece in middle {
                match rest.find(piece.as_str()) {
                    Some(at) => rest = &rest[at + piece.len()..],
                    None => return false,
                }
            }
            rest.ends_with(last.as_str())
        }
    }
}

fn fold_owned(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(t) => fold(t),
        Cow::Owned(t) => Cow::Owned(fold(&t).into_owned()),
    }
}
