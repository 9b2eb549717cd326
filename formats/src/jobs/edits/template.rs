//! Labels made from what a certificate says.

use crate::asn1::{cert_fields, oid, request_fields};
use crate::error::{Error, Result};
use crate::jobs::labels::made_from;
use crate::jobs::list::{hex, sha256_hex};
use crate::model::{Entry, Item};
use crate::query::dn;
use std::path::Path;

/// Text with fields in braces: `{cn} {serial}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Attribute(&'static [u8]),
    Serial,
    Sha256,
    Label,
    File,
}

/// The fields, with what help says of each.
pub const FIELDS: &str = "{cn}, {o}, {ou} and {email} of the subject, {serial}, {sha256} (its first 16 digits), \
                          {label} (as the file has it), {file} (its name without extension)";

const NAMES: &[(&str, Field)] = &[
    ("cn", Field::Attribute(oid::CN)),
    ("o", Field::Attribute(oid::O)),
    ("ou", Field::Attribute(oid::OU)),
    ("email", Field::Attribute(oid::EMAIL_ADDRESS)),
    ("serial", Field::Serial),
    ("sha256", Field::Sha256),
    ("label", Field::Label),
    ("file", Field::File),
];

impl Template {
    /// Parses; `{{` stands for a brace. `Kind::Refused` for an unknown field or a brace that is left open.
    pub fn parse(text: &str) -> Result<Template> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, after) = (&rest[..at], &rest[at + 1..]);
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('{') {
                plain.push('{');
                rest = after;
                continue;
            }
            let (name, after) =
                after.split_once('}').ok_or_else(|| Error::refused("a \"{\" in the label has no \"}\""))?;
            let field = NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).ok_or_else(|| {
                Error::refused(format!("a label has no field \"{{{name}}}\""))
                    .hint(format!("there are {FIELDS}"))
            })?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Field(field.1));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Template(parts))
    }

    /// Whether it is the same for every entry.
    pub fn is_plain(&self) -> bool {
        !self.0.iter().any(|p| matches!(p, Part::Field(_)))
    }

    /// The label for an entry that came from `file`. Where all fields come out empty, what it is called otherwise.
    pub fn apply(&self, entry: &Entry, file: &Path) -> String {
        let text: String = self.0.iter().map(|p| p.text(entry, file)).collect();
        if text.trim().is_empty() { made_from(entry) } else { text.trim().to_owned() }
    }
}

impl Part {
    fn text(&self, entry: &Entry, file: &Path) -> String {
        let fields = || entry.certificate().and_then(|c| cert_fields(c).ok());
        let field = match self {
            Part::Text(text) => return text.clone(),
            Part::Field(field) => field,
        };
        match field {
            Field::Attribute(id) => {
                let subject = match &entry.item {
                    Item::Request { csr, .. } => request_fields(csr).ok().map(|f| f.subject),
                    _ => fields().map(|f| f.subject),
                };
                subject.and_then(|s| dn::attribute_text(s, id)).unwrap_or_default()
            }
            Field::Serial => fields().map(|f| hex(f.serial)).unwrap_or_default(),
            Field::Sha256 => entry.object().map(|o| sha256_hex(o)[..16].to_owned()).unwrap_or_default(),
            Field::Label => entry.label_text().into_owned(),
            Field::File => file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Der;

    #[test]
    fn fields_and_braces() {
        let entry = Entry::new(Item::Other { what: "x".into(), body: Der::new(vec![1]) }).with_label("l");
        let of = |text: &str| Template::parse(text).map(|t| t.apply(&entry, Path::new("a/b.pem"))).ok();
        assert_eq!(of("{label} of {FILE}"), Some("l of b".into()));
        assert_eq!(of("{{label}"), Some("{label}".into()));
        assert_eq!(of("{cn}"), Some("other".into()));
        assert_eq!((of("{nonsense}"), of("{cn")), (None, None));
        assert!(Template::parse("a {{b").is_ok_and(|t| t.is_plain()));
    }
}
