//! Two names compared RDN by RDN, down to the characters that differ: a blank and a no-break blank look
//! alike, and so do Latin and Cyrillic letters.

use super::parse::{WrittenValue, parse};
use super::{Attribute, Grade, attributes, fold, put_escaped, put_hex};
use crate::asn1::oid;
use crate::error::Result;
use serde::Serialize;

/// A name taken apart, RDNs as they are printed: in the reversed order of the encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    rdns: Vec<Vec<Part>>,
    /// The encoding, where it is known.
    der: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    oid: Vec<u8>,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Text(String),
    Raw(Vec<u8>),
}

impl Name {
    /// Of a whole `Name` element.
    pub fn of_der(name: &[u8]) -> Name {
        let list: Vec<_> = attributes(name).collect();
        let rdns = super::rdns_reversed(&list).map(|rdn| rdn.iter().map(Part::of).collect()).collect();
        Name { rdns, der: Some(name.to_owned()) }
    }

    /// Of a text in any tool's dialect; a star is a star.
    pub fn of_text(text: &str) -> Result<Name> {
        let written = parse(text)?;
        let part = |pair: super::parse::WrittenPair| Part {
            oid: pair.oid,
            value: match pair.value {
                WrittenValue::Text(pieces) => Value::Text(pieces.join("*")),
                WrittenValue::Raw(bytes) => Value::Raw(bytes),
            },
        };
        let mut rdns: Vec<Vec<Part>> =
            written.rdns.into_iter().map(|rdn| rdn.into_iter().map(part).collect()).collect();
        if written.as_encoded {
            rdns.reverse();
        }
        Ok(Name { rdns, der: None })
    }
}

impl Part {
    fn of(attribute: &Attribute<'_>) -> Part {
        Part {
            oid: attribute.oid.to_vec(),
            value: match attribute.text() {
                Some(text) => Value::Text(text.into_owned()),
                None => Value::Raw(attribute.raw.to_vec()),
            },
        }
    }

    fn text(&self) -> String {
        let mut out =
            super::types::by_oid(&self.oid).map_or_else(|| oid::dotted(&self.oid), |t| t.name.to_owned());
        out.push('=');
        match &self.value {
            Value::Text(text) => put_escaped(&mut out, text),
            Value::Raw(bytes) => {
                out.push('#');
                put_hex(&mut out, bytes);
            }
        }
        out
    }
}

/// How two names differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// They are the same text in the same order. Only then they are one name for MQ AMS.
    pub equal: bool,
    /// `exact`, `reordered`, `folded`; absent where they differ by more.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub grade: Option<&'static str>,
    /// Whether the encodings are the same; absent where one of them is only text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_encoding: Option<bool>,
    /// RDN by RDN, as they are printed.
    pub rdns: Vec<Pair>,
}

/// One RDN of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// In the first name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<String>,
    /// In the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<String>,
    /// They are the same.
    pub equal: bool,
    /// The characters that differ, where it is a few.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

/// Characters at one place of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The character's number in the first value, from 1.
    pub at: usize,
    /// In the first: `U+0020 blank`; empty where the second has more.
    pub a: String,
    /// In the second.
    pub b: String,
}

/// Compares.
pub fn compare(a: &Name, b: &Name) -> Comparison {
    let sorted = |name: &Name| {
        let mut rdns: Vec<Vec<Part>> = name.rdns.iter().map(|rdn| sorted(rdn)).collect();
        rdns.sort();
        rdns
    };
    let folded = |name: &Name| {
        let fold_part = |p: &Part| Part {
            oid: p.oid.clone(),
            value: match &p.value {
                Value::Text(text) => Value::Text(fold(text).into_owned()),
                Value::Raw(bytes) => Value::Raw(bytes.clone()),
            },
        };
        Name { rdns: name.rdns.iter().map(|rdn| rdn.iter().map(fold_part).collect()).collect(), der: None }
    };
    let equal = a.rdns.len() == b.rdns.len() && a.rdns.iter().zip(&b.rdns).all(|(a, b)| same(a, b));
    let grade = if equal {
        Some(Grade::Exact)
    } else if sorted(a) == sorted(b) {
        Some(Grade::Reordered)
    } else if sorted(&folded(a)) == sorted(&folded(b)) {
        Some(Grade::Folded)
    } else {
        None
    };
    Comparison {
        equal,
        grade: grade.map(Grade::name),
        same_encoding: a.der.as_ref().zip(b.der.as_ref()).map(|(a, b)| a == b),
        rdns: align(&a.rdns, &b.rdns).into_iter().map(|(a, b)| pair(a, b)).collect(),
    }
}

fn sorted(rdn: &[Part]) -> Vec<Part> {
    let mut rdn = rdn.to_vec();
    rdn.sort();
    rdn
}

/// Inside an RDN the order doesn't count.
fn same(a: &[Part], b: &[Part]) -> bool {
    a == b || sorted(a) == sorted(b)
}

fn same_types(a: &[Part], b: &[Part]) -> bool {
    let types = |rdn: &[Part]| sorted(rdn).into_iter().map(|p| p.oid).collect::<Vec<_>>();
    types(a) == types(b)
}

/// More cells than this, and things are set side by side as they stand.
const CELLS: usize = 1 << 20;

type Aligned<'a, T> = Vec<(Option<&'a T>, Option<&'a T>)>;

/// The cheapest way to make `b` of `a`: equal ones cost nothing, a change in an RDN of the same type less
/// than leaving it out here and there.
fn align<'a>(a: &'a [Vec<Part>], b: &'a [Vec<Part>]) -> Aligned<'a, Vec<Part>> {
    align_by(a, b, |x, y| {
        if same(x, y) {
            Some(0)
        } else if same_types(x, y) {
            Some(3)
        } else {
            None
        }
    })
}

/// Aligns by costs: `change` of two items (`None`: never), 2 for an item that only one has.
fn align_by<'a, T>(a: &'a [T], b: &'a [T], change: impl Fn(&T, &T) -> Option<u32>) -> Aligned<'a, T> {
    if (a.len() + 1).saturating_mul(b.len() + 1) > CELLS {
        return (0..a.len().max(b.len())).map(|i| (a.get(i), b.get(i))).collect();
    }
    const ALONE: u32 = 2;
    let width = b.len() + 1;
    // cost[i * width + j]: of what follows a[i] and b[j].
    let mut cost = vec![0u32; (a.len() + 1) * width];
    for i in (0..=a.len()).rev() {
        for j in (0..=b.len()).rev() {
            let mut best = if i == a.len() && j == b.len() { 0 } else { u32::MAX };
            if i < a.len() {
                best = best.min(cost[(i + 1) * width + j] + ALONE);
            }
            if j < b.len() {
                best = best.min(cost[i * width + j + 1] + ALONE);
            }
            if let Some(c) = a.get(i).zip(b.get(j)).and_then(|(x, y)| change(x, y)) {
                best = best.min(cost[(i + 1) * width + j + 1] + c);
            }
            cost[i * width + j] = best;
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while i < a.len() || j < b.len() {
        let here = cost[i * width + j];
        let both = a.get(i).zip(b.get(j)).and_then(|(x, y)| change(x, y));
        if both.is_some_and(|c| here == cost[(i + 1) * width + j + 1] + c) {
            out.push((a.get(i), b.get(j)));
            (i, j) = (i + 1, j + 1);
        } else if i < a.len() && here == cost[(i + 1) * width + j] + ALONE {
            out.push((a.get(i), None));
            i += 1;
        } else {
            out.push((None, b.get(j)));
            j += 1;
        }
    }
    out
}

fn pair(a: Option<&Vec<Part>>, b: Option<&Vec<Part>>) -> Pair {
    let text = |rdn: &Vec<Part>| rdn.iter().map(Part::text).collect::<Vec<_>>().join("+");
    let equal = a.zip(b).is_some_and(|(a, b)| same(a, b));
    let mut differences = Vec::new();
    if let (Some(a), Some(b), false) = (a, b, equal) {
        for (a, b) in sorted(a).iter().zip(&sorted(b)) {
            if let (Value::Text(a), Value::Text(b)) = (&a.value, &b.value) {
                differences.extend(characters(a, b));
            }
        }
    }
    Pair { a: a.map(text), b: b.map(text), equal, differences }
}

/// The characters that differ; none where most do, for then the values differ for every eye.
fn characters(a: &str, b: &str) -> Vec<Difference> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let most = 3.max(a.len().max(b.len()) / 3);
    let mut out = Vec::new();
    let mut at = 1;
    for (x, y) in align_by(&a, &b, |x, y| Some(if x == y { 0 } else { 3 })) {
        if x != y {
            if out.len() == most {
                return Vec::new();
            }
            let show = |c: Option<&char>| c.map(|c| described(*c)).unwrap_or_default();
            out.push(Difference { at, a: show(x), b: show(y) });
        }
        at += usize::from(x.is_some());
    }
    out
}

/// `U+00A0 no-break blank`, `U+0410 "А" Cyrillic`.
fn described(c: char) -> String {
    let code = u32::from(c);
    let what = match c {
        ' ' => "blank",
        '\u{a0}' => "no-break blank",
        '\t' => "tab",
        '\n' => "line feed",
        '\r' => "carriage return",
        '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => "another blank",
        '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => "zero-width",
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "changes the direction of writing"
        }
        '\u{ad}' => "soft hyphen",
        '\u{300}'..='\u{36f}' => "combining mark",
        c if c.is_control() => "control character",
        'A'..='Z' | 'a'..='z' => "Latin",
        '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => "Latin, with a mark",
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => "Greek",
        '\u{400}'..='\u{52f}' => "Cyrillic",
        '\u{530}'..='\u{58f}' => "Armenian",
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "another dash",
        '\u{2018}'..='\u{201f}' => "another quote",
        '\u{ff01}'..='\u{ff5e}' => "full width",
        _ => "",
    };
    let shown =
        if c.is_whitespace() || crate::error::is_deceptive(c) { String::new() } else { format!(" \"{c}\"") };
    let what = if what.is_empty() { String::new() } else { format!(" {what}") };
    format!("U+{code:04X}{shown}{what}")
}
