//! Two stores compared: what one has and the other hasn't, and what is said differently of the same.

use super::Loaded;
use super::list::{hex, row};
use crate::context::Ctx;
use crate::crypto::public::spki_of_pkcs8;
use crate::format::Labels;
use crate::model::{Entry, Item, ItemKind, Level, Trust};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::HashMap;

/// How two stores differ. Orders are those of the stores; the order itself is no difference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Entries of the second store that the first hasn't.
    pub added: Vec<Side>,
    /// Entries of the first store that the second hasn't.
    pub removed: Vec<Side>,
    /// Entries of both, of which something else is said.
    pub changed: Vec<Changed>,
    /// How many are the same in both.
    pub same: usize,
}

impl Diff {
    /// No difference.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// An entry as a report names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// `key`, `cert` and so on.
    pub kind: &'static str,
    /// Its label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// RFC 4514 text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// SHA-256 of its DER object, lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// An entry of both stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// As the first store has it.
    #[serde(flatten)]
    pub entry: Side,
    /// What differs.
    pub changes: Vec<Change>,
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `label`, `kind`, `default`, `trust` or `chain`.
    pub what: &'static str,
    /// In the first store.
    pub from: String,
    /// In the second.
    pub to: String,
}

/// Opens the keys for which no certificate stands, so that [`diff`] knows them by what they are. One that
/// can't be opened goes by its label.
pub fn open_bare_keys(loaded: &Loaded, ctx: &Ctx<'_>) {
    for entry in &loaded.store.entries {
        if let Item::Key { key, chain } = &entry.item
            && chain.is_empty()
        {
            let _ = key.open(ctx);
        }
    }
}

/// Compares. Certificates, requests and lists are the same when their DER is; a key when its leaf is, or
/// without one its public key; a secret key, which stays sealed, when its label is. What a format can't say is
/// not compared.
pub fn diff(a: &Loaded, b: &Loaded) -> Diff {
    let fold = Fold::of(a, b);
    let defaults = a.format.marks_default() && b.format.marks_default();
    let mut left: HashMap<Cow<'_, [u8]>, Vec<(usize, &Entry)>> = HashMap::new();
    for (at, entry) in a.store.entries.iter().enumerate() {
        left.entry(identity(entry)).or_default().push((at, entry));
    }
    // Entries of one identity pair up by kind and label first, so that a copy under another label is one
    // that came in and not two that changed.
    let mut rest = Vec::new();
    let mut pairs = Vec::new();
    for (at, entry) in b.store.entries.iter().enumerate() {
        let twin = left.get_mut(&identity(entry)).and_then(|same| {
            same.iter().position(|(_, e)| fold.alike(e, entry)).map(|found| same.remove(found))
        });
        match twin {
            Some(twin) => pairs.push((twin, entry)),
            None => rest.push((at, entry)),
        }
    }
    let mut out = Diff::default();
    for (_, entry) in rest {
        let twin = left.get_mut(&identity(entry)).and_then(|same| (!same.is_empty()).then(|| same.remove(0)));
        match twin {
            Some(twin) => pairs.push((twin, entry)),
            None => out.added.push(side(entry)),
        }
    }
    pairs.sort_by_key(|((at, _), _)| *at);
    for ((_, from), to) in pairs {
        let changes = changes(from, to, &fold, defaults);
        if changes.is_empty() {
            out.same += 1;
        } else {
            out.changed.push(Changed { entry: side(from), changes });
        }
    }
    let mut removed: Vec<_> = left.into_values().flatten().collect();
    removed.sort_by_key(|(at, _)| *at);
    out.removed = removed.into_iter().map(|(_, e)| side(e)).collect();
    out
}

/// What makes an entry that entry: its object, its public key, or its label where it has none that can be
/// seen.
fn identity(entry: &Entry) -> Cow<'_, [u8]> {
    let opened = || match &entry.item {
        Item::Key { key, .. } => spki_of_pkcs8(&key.opened()?.bytes).ok().flatten(),
        _ => None,
    };
    match entry.object() {
        Some(der) => Cow::Borrowed(der),
        // No DER begins with a zero octet and goes on like this.
        None => Cow::Owned(match opened() {
            Some(spki) => [b"\0key\0", &crate::crypto::public::identity(&spki)[..]].concat(),
            None => [b"\0label\0", entry.label_text().as_bytes()].concat(),
        }),
    }
}

/// How labels compare: as the less particular of the two formats does.
struct Fold(Vec<fn(&str) -> Cow<'_, str>>);

impl Fold {
    fn of(a: &Loaded, b: &Loaded) -> Fold {
        let folds = [a, b].into_iter().filter_map(|l| match l.format.carries().labels {
            Labels::Unique(fold) => Some(fold),
            Labels::None | Labels::Optional | Labels::BySubject => None,
        });
        Fold(folds.collect())
    }

    fn same(&self, a: &str, b: &str) -> bool {
        a == b || self.0.iter().any(|fold| fold(a) == fold(b))
    }

    fn alike(&self, a: &Entry, b: &Entry) -> bool {
        a.item.kind() == b.item.kind() && self.same(&a.label_text(), &b.label_text())
    }
}

fn side(entry: &Entry) -> Side {
    let row = row("", "", entry);
    Side { kind: row.kind, label: row.label, subject: row.subject, sha256: row.sha256 }
}

fn changes(a: &Entry, b: &Entry, fold: &Fold, defaults: bool) -> Vec<Change> {
    let mut out = Vec::new();
    let mut compare = |what, from: String, to: String| {
        if from != to {
            out.push(Change { what, from, to });
        }
    };
    compare("kind", a.item.kind().name().to_owned(), b.item.kind().name().to_owned());
    if a.label.is_some() && b.label.is_some() && !fold.same(&a.label_text(), &b.label_text()) {
        compare("label", a.label_text().into_owned(), b.label_text().into_owned());
    }
    if defaults {
        let word = |e: &Entry| if e.default { "yes" } else { "no" }.to_owned();
        compare("default", word(a), word(b));
    }
    // A key is no anchor, whatever its format says of its certificate.
    if let (ItemKind::Cert, Some(a), Some(b)) = (b.item.kind(), &a.trust, &b.trust) {
        compare("trust", trust_text(a), trust_text(b));
    }
    if let (Item::Key { chain: a, .. }, Item::Key { chain: b, .. }) = (&a.item, &b.item) {
        let prints = |chain: &[crate::model::Link]| {
            let one = |l: &crate::model::Link| hex(&Sha256::digest(&l.cert[..]));
            chain.iter().map(one).collect::<Vec<_>>().join(" ")
        };
        compare("chain", prints(a), prints(b));
    }
    out
}

/// `anchor: server client; distrusted: email`, or `none`.
fn trust_text(trust: &Trust) -> String {
    let levels = [(Level::Anchor, "anchor"), (Level::Peer, "peer"), (Level::Distrusted, "distrusted")];
    let text = levels.into_iter().filter_map(|(level, word)| {
        let mut purposes: Vec<_> = trust.purposes_at(level).map(str::to_owned).collect();
        purposes.extend(trust.usages.iter().filter(|(_, l)| *l == level).map(|(usage, _)| usage.clone()));
        (!purposes.is_empty()).then(|| format!("{word}: {}", purposes.join(" ")))
    });
    let text: Vec<_> = text.collect();
    if text.is_empty() { "none".to_owned() } else { text.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FORMATS;
    use crate::model::{Der, KeyMaterial, Secret, Store};
    use std::sync::Arc;

    fn cert(n: u8, label: &str) -> Entry {
        Entry::new(Item::Cert(Der::new(vec![0x30, 1, n]))).with_label(label)
    }

    fn key(chain: &[u8], label: &str) -> Entry {
        let key = Arc::new(Secret::clear(KeyMaterial::pkcs8(vec![0].into())));
        let chain = chain.iter().map(|n| Der::new(vec![0x30, 1, *n]).into()).collect();
        Entry::new(Item::Key { key, chain }).with_label(label)
    }

    fn loaded(entries: Vec<Entry>) -> Loaded {
        // One that compares labels as they are, whichever that is.
        let plain = FORMATS.iter().find(|f| !matches!(f.carries().labels, Labels::Unique(_)));
        Loaded { format: *plain.expect("a format"), store: Store { entries, ..Store::default() } }
    }

    fn run(a: Vec<Entry>, b: Vec<Entry>) -> (Vec<String>, usize) {
        let d = diff(&loaded(a), &loaded(b));
        let label = |s: &Side| s.label.clone().unwrap_or_default();
        let mut out: Vec<_> = d.added.iter().map(|s| format!("+{}", label(s))).collect();
        out.extend(d.removed.iter().map(|s| format!("-{}", label(s))));
        for c in &d.changed {
            let what: Vec<_> = c.changes.iter().map(|c| format!("{} {}>{}", c.what, c.from, c.to)).collect();
            out.push(format!("~{} {}", label(&c.entry), what.join(", ")));
        }
        (out, d.same)
    }

    #[test]
    fn order_is_no_difference() {
        let (out, same) = run(vec![cert(1, "a"), cert(2, "b")], vec![cert(2, "b"), cert(1, "a")]);
        assert!(out.is_empty());
        assert_eq!(same, 2);
    }

    #[test]
    fn added_removed_and_renamed() {
        let (out, same) = run(
            vec![cert(1, "a"), cert(2, "b"), cert(3, "c")],
            vec![cert(4, "d"), cert(2, "B"), cert(1, "a")],
        );
        assert_eq!(out, ["+d", "-c", "~b label b>B"]);
        assert_eq!(same, 1);
    }

    #[test]
    fn a_copy_under_another_label_is_one_that_came_in() {
        let (out, same) = run(vec![cert(1, "a")], vec![cert(1, "z"), cert(1, "a")]);
        assert_eq!((out, same), (vec!["+z".to_owned()], 1));
    }

    #[test]
    fn trust_kinds_and_chains() {
        let trusted = |level| Entry { trust: Some(Trust::all(level)), ..cert(1, "a") };
        let (out, _) = run(vec![trusted(Level::Unset)], vec![trusted(Level::Anchor)]);
        assert_eq!(out, ["~a trust none>anchor: server client email code"]);
        assert!(run(vec![cert(1, "a")], vec![trusted(Level::Anchor)]).0.is_empty());
        assert_eq!(run(vec![cert(1, "a")], vec![key(&[1], "a")]).0, ["~a kind cert>key"]);
        let (out, _) = run(vec![key(&[1], "a")], vec![key(&[1, 2], "a")]);
        assert!(out.len() == 1 && out[0].starts_with("~a chain "), "{out:?}");
        // Keys without certificates go by their labels.
        assert_eq!(run(vec![key(&[], "a")], vec![key(&[], "b")]).0, ["+b", "-a"]);
        assert_eq!(run(vec![key(&[], "a")], vec![key(&[], "a")]).1, 1);
    }
}
