//! Trust: NSS's words for four purposes, the letters that certutil shows for them, and our levels.

use super::layout::*;
use super::sql::Object;
use crate::asn1::cert_fields;
use crate::error::{Error, Result};
use crate::model::{Entry, Item, Level, Trust};

/// A chain may end here.
pub const ANCHOR: u32 = 0xce53_4352;
/// This very certificate is accepted.
pub const PEER: u32 = 0xce53_4351;
/// No opinion, explicitly.
pub const MUST_VERIFY: u32 = 0xce53_4353;
/// Never accepted.
pub const DISTRUSTED: u32 = 0xce53_435a;
/// May issue, whatever its extensions say, but is no anchor.
pub const VALID_CA: u32 = 0xce53_435b;
/// Nothing is known.
pub const UNKNOWN: u32 = 0xce53_4355;

/// The same opinions as PKCS #11 3.2 numbers them.
const OF_PKCS11: [u32; 5] = [UNKNOWN, PEER, ANCHOR, DISTRUSTED, MUST_VERIFY];

/// The attributes of a CKO_NSS_TRUST's words, in the order of [`Words`] (that of the model's purposes).
pub const NSS_WORDS: [Type; 4] = [NSS_TRUST_SERVER, NSS_TRUST_CLIENT, NSS_TRUST_EMAIL, NSS_TRUST_CODE];
/// The same of a CKO_TRUST.
pub const PKCS11_WORDS: [Type; 4] = [TRUST_SERVER, TRUST_CLIENT, TRUST_EMAIL, TRUST_CODE];

/// The fact that keeps words which levels can't say.
pub const ATTR: &str = "trust";

/// What a trust object says: server, client, e-mail, code; and NSS's step-up flag, which nobody uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// NSS's own numbers.
    pub words: [u32; 4],
    /// The flag `g`.
    pub step_up: bool,
}

impl Words {
    /// From a trust object of either class. A missing or unknown word is no opinion.
    pub fn of(object: &Object) -> Self {
        if object.class == class::TRUST {
            let word = |t| {
                let n = object.word(t).and_then(|n| OF_PKCS11.get(n as usize));
                n.copied().unwrap_or(UNKNOWN)
            };
            return Words { words: PKCS11_WORDS.map(word), step_up: false };
        }
        let step_up = object.get(NSS_STEP_UP).is_some_and(|b| b.iter().any(|b| *b != 0));
        Words { words: NSS_WORDS.map(|t| object.word(t).unwrap_or(UNKNOWN)), step_up }
    }

    /// For each purpose.
    pub fn trust(self) -> Trust {
        let level = |word| match word {
            ANCHOR => Level::Anchor,
            PEER => Level::Peer,
            DISTRUSTED => Level::Distrusted,
            _ => Level::Unset,
        };
        Trust { levels: self.words.map(level), usages: Vec::new() }
    }

    /// The words that certutil would store for these levels.
    pub fn of_trust(trust: &Trust) -> Self {
        let [server, client, ..] = trust.levels;
        // Its first field speaks for servers and clients at once.
        let other = |other| if other == Level::Anchor { VALID_CA } else { MUST_VERIFY };
        let unset = [other(client), other(server), MUST_VERIFY, MUST_VERIFY];
        let mut words = unset;
        for (word, level) in words.iter_mut().zip(trust.levels) {
            *word = match level {
                Level::Anchor => ANCHOR,
                Level::Peer => PEER,
                Level::Distrusted => DISTRUSTED,
                Level::Unset => *word,
            };
        }
        Words { words, step_up: false }
    }

    /// No opinion of anything, explicitly.
    pub fn none() -> Self {
        Words { words: [MUST_VERIFY; 4], step_up: false }
    }

    /// The same without trust; distrust stays.
    pub fn without_trust(self) -> Self {
        let word = |w| if w == DISTRUSTED { DISTRUSTED } else { MUST_VERIFY };
        Words { words: self.words.map(word), step_up: false }
    }

    /// Whether they say nothing that anybody would act upon.
    pub fn says_nothing(self) -> bool {
        !self.step_up && !self.words.iter().any(|w| Words::matters(*w))
    }

    /// Whether a word would be believed: anything but "no opinion".
    pub fn matters(word: u32) -> bool {
        !matches!(word, MUST_VERIFY | UNKNOWN)
    }

    /// certutil's letters, `CT,C,C`. `key`: a key for the certificate is here, which it shows as `u`.
    pub fn letters(self, key: bool) -> String {
        let [server, client, email, code] = self.words;
        let field = |words: &[u32], c: bool, t: bool| {
            let any = |word| words.contains(&word);
            let mut out = String::new();
            if (any(ANCHOR) || any(VALID_CA)) && !c && !t {
                out.push('c');
            }
            if any(DISTRUSTED) && !any(PEER) {
                out.push('p');
            }
            for (letter, shown) in [('C', c), ('T', t), ('P', any(PEER)), ('u', key)] {
                if shown {
                    out.push(letter);
                }
            }
            out
        };
        let first = field(&[server, client], server == ANCHOR, client == ANCHOR);
        let other = |word| field(&[word], word == ANCHOR, false);
        format!("{first},{},{}", other(email), other(code))
    }

    /// From certutil's letters.
    pub fn parse(letters: &str) -> Result<Self> {
        let fields: Vec<&str> = letters.split(',').map(str::trim).collect();
        let [ssl, email, code] = fields[..] else {
            return Err(Error::refused("trust flags are three fields, as in CT,C,C"));
        };
        if let Some(odd) = letters.chars().find(|c| !"cCTpPuwg, ".contains(*c)) {
            return Err(Error::refused(format!("there is no trust flag \"{odd}\"")));
        }
        let word = |field: &str, anchor: char, valid: [char; 2]| {
            let has = |c| field.contains(c);
            match () {
                () if has(anchor) => ANCHOR,
                () if has('P') => PEER,
                () if has('p') => DISTRUSTED,
                () if has(valid[0]) || has(valid[1]) => VALID_CA,
                () => MUST_VERIFY,
            }
        };
        let server = |field| word(field, 'C', ['c', 'T']);
        let words = [server(ssl), word(ssl, 'T', ['c', 'C']), server(email), server(code)];
        Ok(Words { words, step_up: letters.contains('g') })
    }

    /// The value of the fact `ATTR`.
    pub fn attr(self) -> Vec<u8> {
        let mut out: Vec<u8> = self.words.iter().flat_map(|w| w.to_be_bytes()).collect();
        out.push(u8::from(self.step_up));
        out
    }

    /// Back from it.
    pub fn of_attr(value: &[u8]) -> Option<Self> {
        let (words, step_up) = value.split_at_checked(16)?;
        let mut out = Words { words: [0; 4], step_up: step_up.first() == Some(&1) };
        for (word, bytes) in out.words.iter_mut().zip(words.chunks_exact(4)) {
            *word = super::layout::word(bytes)?;
        }
        Some(out)
    }
}

/// Whether a certificate that may not issue is an anchor for some purpose. NSS lets such an anchor vouch for others.
pub fn is_anchored_leaf(certificate: &[u8], trust: Option<&Trust>) -> bool {
    trust.is_some_and(|t| t.levels.contains(&Level::Anchor))
        && cert_fields(certificate).is_ok_and(|fields| !fields.is_ca())
}

/// Formats with one bit, and Java's, call a leaf trusted that is to be accepted itself: a peer. One's own needs
/// no trust at all. What NSS's own words say stays.
pub fn lower_leaf(entry: &mut Entry) {
    let anchored = entry.certificate().is_some_and(|c| is_anchored_leaf(c, entry.trust.as_ref()));
    let kept = entry.attr(super::decode::NAME, ATTR).and_then(Words::of_attr);
    let is_key = matches!(entry.item, Item::Key { .. });
    if let Some(trust) = entry.trust.as_mut().filter(|_| anchored)
        && kept.is_none_or(|w| w.trust().levels != trust.levels)
    {
        let becomes = if is_key { Level::Unset } else { Level::Peer };
        let levels = trust.levels.iter_mut().chain(trust.usages.iter_mut().map(|(_, level)| level));
        levels.filter(|l| **l == Level::Anchor).for_each(|l| *l = becomes);
    }
}
