//! `keyferry show`: entries in full.

use super::Program;
use crate::error::{Failure, Result};
use crate::place::StoreArg;
use crate::ui::{BOLD, Ui};
use formats::error::Printable;
use formats::jobs::edits::Line;
use formats::jobs::list::{Row, hex, row};
use formats::jobs::{Input, Loaded, load};
use formats::model::{Attr, Entry, Item, Level, Trust};
use formats::query::describe::{Node, certificate, crl, dump, pem, request};
use formats::{Ctx, Options};
use serde::Serialize;
use std::ffi::OsString;
use std::io::Write;

/// Show entries in full
///
/// Everything that a certificate says: every field and extension, the key's type and size, fingerprints,
/// the pin of the public key; and what the store says of the entry: label, trust, chain. Private keys are
/// never shown.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The store
    store: OsString,

    /// Only the entry with this label, or sha256:HEX for the one with this fingerprint (or its beginning)
    label: Option<String>,

    /// Print a JSON array: the fields of list, and each certificate as a tree of fields
    #[arg(long, group = "form")]
    json: bool,

    /// Print the certificates (of a key: its chain), requests and lists in PEM
    #[arg(long, group = "form")]
    pem: bool,

    /// Print the ASN.1 structure: offset, header + content length, type, value
    #[arg(long, group = "form")]
    asn1: bool,
}

const EXAMPLES: &str = "\
Examples:
  keyferry show client.jks alice --password env:PW
  keyferry show ca-bundle.pem sha256:4348a0e9 --pem
  keyferry show server.der --asn1";

/// Shows.
pub fn run(program: &Program, args: &Args) -> Result {
    program.refuse_to_password()?;
    let store = StoreArg::parse_existing(&program.ui, &args.store);
    let source = store.open()?;
    let passwords = program.passwords(&[&store])?;
    let secrets = passwords.of(&store);
    let session = program.session()?;
    let options = Options::default();
    let ctx = Ctx { secrets: &secrets, options: &options, session: &session };
    let loaded = load(&Input { source: &source, format: store.format, ctx })?;
    let wanted: Vec<_> =
        loaded.store.entries.iter().filter(|e| is_wanted(e, args.label.as_deref())).collect();
    print(&program.ui, args, &store.name(), &loaded, &wanted)?;

    for warning in &loaded.store.warnings {
        program.ui.warn(&format!("{}: {}", Printable(&store.name()), Printable(warning)));
    }
    for defect in &loaded.store.defects {
        program.ui.store_error(&store.name(), defect);
    }
    if let (Some(label), true) = (&args.label, wanted.is_empty()) {
        program.ui.error(&format!("{}: no entry has the label \"{}\"", store.name(), Printable(label)));
        program.ui.hint("keyferry list shows the labels");
        return Err(Failure::No);
    }
    if loaded.store.defects.is_empty() { Ok(()) } else { Err(Failure::Incomplete) }
}

/// Whether an entry has this label or fingerprint.
pub(super) fn is_wanted(entry: &Entry, label: Option<&str>) -> bool {
    let Some(label) = label else { return true };
    let own = entry.label.as_ref().map_or_else(|| Line::of(entry).label, |own| own.text().into_owned());
    if own == label && !label.is_empty() {
        return true;
    }
    let print = label.strip_prefix('#').unwrap_or(label).strip_prefix("sha256:");
    let print = print.map(|p| p.replace(':', "").to_lowercase()).filter(|p| !p.is_empty());
    print.is_some_and(|p| row("", "", entry).sha256.is_some_and(|own| own.starts_with(&p)))
}

fn print(ui: &Ui, args: &Args, name: &str, loaded: &Loaded, wanted: &[&Entry]) -> Result {
    let mut out = ui.out();
    if args.json {
        let all: Vec<_> = wanted.iter().map(|e| Shown::new(name, loaded, e)).collect();
        serde_json::to_writer_pretty(&mut out, &all)?;
        writeln!(out)?;
        return Ok(out.flush()?);
    }
    for (at, entry) in wanted.iter().enumerate() {
        let objects = objects(entry);
        if args.pem {
            objects.iter().try_for_each(|o| write!(out, "{}", pem(o.armour, o.der)))?;
        } else if args.asn1 {
            objects.iter().try_for_each(|o| write!(out, "{}", dump(o.der)))?;
        } else {
            if at > 0 {
                writeln!(out)?;
            }
            text(ui, &mut out, name, loaded, entry)?;
        }
    }
    Ok(out.flush()?)
}

/// A DER object of an entry, with how it is described and armoured.
struct Object<'a> {
    der: &'a [u8],
    armour: &'static str,
    describe: fn(&[u8]) -> Node,
}

fn objects(entry: &Entry) -> Vec<Object<'_>> {
    let one = |der, armour, describe| vec![Object { der, armour, describe }];
    match &entry.item {
        Item::Cert(der) => one(der, "CERTIFICATE", certificate),
        Item::Crl(der) => one(der, "X509 CRL", crl),
        Item::Request { csr, .. } => one(csr, "CERTIFICATE REQUEST", request),
        Item::Key { chain, .. } => {
            let object = |der| Object { der, armour: "CERTIFICATE", describe: certificate };
            chain.iter().map(|link| object(&link.cert[..])).collect()
        }
        Item::Symmetric(_) | Item::Other { .. } => Vec::new(),
    }
}

/// The JSON form.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    row: Row,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    facts: Vec<Node>,
    objects: Vec<Node>,
}

impl Shown {
    fn new(name: &str, loaded: &Loaded, entry: &Entry) -> Shown {
        Shown {
            row: row(name, loaded.format.name(), entry),
            facts: facts(entry),
            objects: objects(entry).iter().map(|o| (o.describe)(o.der)).collect(),
        }
    }
}

fn text(ui: &Ui, out: &mut impl Write, name: &str, loaded: &Loaded, entry: &Entry) -> Result {
    let label = match &entry.label {
        Some(label) => format!("\"{}\"", Printable(&label.text())),
        None => "(no label)".to_owned(),
    };
    let default = if entry.default { ", default" } else { "" };
    let kind = entry.item.kind().name();
    let heading = format!("{label}  {kind}{default}  in {} ({})", Printable(name), loaded.format.name());
    writeln!(out, "{}", ui.paint(BOLD, &heading))?;
    for fact in facts(entry) {
        node(out, &fact, 1)?;
    }
    let objects = objects(entry);
    for (at, object) in objects.iter().enumerate() {
        let mut described = (object.describe)(object.der);
        if objects.len() > 1 {
            described.field.push_str(&format!(" {} of {}", at + 1, objects.len()));
        }
        node(out, &described, 1)?;
    }
    Ok(())
}

/// What the store says of the entry, beside its objects.
fn facts(entry: &Entry) -> Vec<Node> {
    let mut out = Vec::new();
    if let Some(trust) = &entry.trust {
        out.push(Node::new("Trust", trust_text(trust)));
    }
    if let Some(proven) = entry.authenticated {
        let text = if proven { "checked" } else { "not checked: no password was given" };
        out.push(Node::new("Integrity", text));
    }
    if let Some(secret) = entry.secret() {
        let how = match secret.seal() {
            Some(seal) => format!("sealed in {}", seal.format()),
            None => "in the clear".to_owned(),
        };
        out.push(Node::new("Private or secret key", how));
    }
    if let Item::Other { what, body } = &entry.item {
        out.push(Node::new("Type", what.clone()));
        out.push(Node::new("Content", hex(body)));
    }
    let facts: Vec<_> = entry.attrs.iter().filter(|a| !a.is_as_written()).map(attribute).collect();
    if !facts.is_empty() {
        out.push(Node::parent("Facts of its format", facts));
    }
    out
}

fn attribute(attr: &Attr) -> Node {
    let field = format!("{} {}", attr.format, attr.id);
    let is_text = |t: &&str| !t.is_empty() && !t.contains(char::is_control);
    let text = std::str::from_utf8(&attr.value).ok().filter(is_text);
    Node::new(field, text.map_or_else(|| hex(&attr.value), str::to_owned))
}

fn trust_text(trust: &Trust) -> String {
    let words =
        [(Level::Anchor, "anchor for"), (Level::Peer, "peer for"), (Level::Distrusted, "distrusted for")];
    let all: Vec<_> = words
        .into_iter()
        .filter_map(|(level, word)| {
            let mut purposes: Vec<_> = trust.purposes_at(level).map(str::to_owned).collect();
            purposes.extend(trust.usages.iter().filter(|(_, l)| *l == level).map(|(u, _)| u.clone()));
            (!purposes.is_empty()).then(|| format!("{word} {}", purposes.join(", ")))
        })
        .collect();
    if all.is_empty() { "none".to_owned() } else { all.join("; ") }
}

/// Long runs of hex digits are broken into lines of this many.
const HEX_LINE: usize = 64;

fn node(out: &mut impl Write, node: &Node, depth: usize) -> Result {
    let indent = "  ".repeat(depth);
    let field = Printable(&node.field);
    match node.value.as_deref() {
        None => writeln!(out, "{indent}{field}:")?,
        Some(value) if value.len() > HEX_LINE && value.bytes().all(|b| b.is_ascii_hexdigit()) => {
            writeln!(out, "{indent}{field}:")?;
            let mut rest = value;
            while !rest.is_empty() {
                let (line, more) = rest.split_at(rest.len().min(HEX_LINE));
                writeln!(out, "{indent}  {line}")?;
                rest = more;
            }
        }
        Some(value) => writeln!(out, "{indent}{field}: {}", Printable(value))?,
    }
    node.children.iter().try_for_each(|child| self::node(out, child, depth + 1))
}
