//! Options by which entries are chosen, the same for every command that looks for some.

use crate::error::{Failure, Result};
use crate::time::{now_ms, span};
use clap::builder::PossibleValuesParser;
use formats::jobs::list::{Filter, Glob};
use formats::model::ItemKind;
use formats::query::dn::{Pattern, Style};

/// All of these must hold; of one that is given several times, one must.
#[derive(clap::Args)]
#[command(next_help_heading = "Which entries")]
pub struct FilterOptions {
    /// Only entries whose subject or issuer matches: CN=colin,O=SSS in any order and in any tool's writing,
    /// * as a wildcard, or a part of a value
    #[arg(long, value_name = "PATTERN")]
    dn: Vec<String>,

    /// Compare names character by character, all of them and in their order, as MQ AMS does
    #[arg(long)]
    dn_exact: bool,

    /// Only entries whose subject matches
    #[arg(long, value_name = "PATTERN")]
    subject: Vec<String>,

    /// Only entries whose issuer matches
    #[arg(long, value_name = "PATTERN")]
    issuer: Vec<String>,

    /// Only certificates for this DNS name, address, e-mail or URI; * as a wildcard
    #[arg(long, value_name = "NAME")]
    san: Vec<String>,

    /// Only certificates with this serial number, in hex
    #[arg(long, value_name = "HEX")]
    serial: Vec<String>,

    /// Only the object with this SHA-256 fingerprint, or this beginning of one
    #[arg(long, value_name = "HEX")]
    sha256: Vec<String>,

    /// Only entries whose public key has this SHA-256 fingerprint, or this beginning of one
    #[arg(long, value_name = "HEX")]
    spki: Vec<String>,

    /// Only keys of this type: RSA, RSA-2048, EC, P-256, Ed25519
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    key_type: Vec<String>,

    /// Only entries of these kinds
    #[arg(long, value_name = "KIND", value_delimiter = ',',
          value_parser = PossibleValuesParser::new(ItemKind::ALL.iter().map(|k| k.name())))]
    kind: Vec<String>,

    /// Only entries with this label; may be given several times
    #[arg(long, short, value_name = "L")]
    label: Vec<String>,

    /// Only certificates that expire within this time (30d, 12h, 6w, 1y), or have expired
    #[arg(long, value_name = "TIME", value_parser = span)]
    expiring: Option<i64>,

    /// Only certificates that have expired
    #[arg(long, conflicts_with = "expiring")]
    expired: bool,

    /// Only entries that are trusted for something
    #[arg(long)]
    trusted: bool,

    /// Print names as this tool does: gskit, openssl (-nameopt RFC2253), java (keytool), nss (certutil), or
    /// mq for setmqspl
    #[arg(long, value_name = "STYLE", default_value = "rfc4514", help_heading = "Output",
          value_parser = PossibleValuesParser::new(Style::ALL.iter().map(|s| s.name())))]
    dn_style: String,
}

impl FilterOptions {
    /// As the jobs take it.
    pub fn filter(&self) -> Result<Filter> {
        let patterns = |option: &str, texts: &[String]| -> Result<Vec<Pattern>> {
            texts.iter().map(|t| self.pattern(option, t)).collect()
        };
        let within = self.expiring.or(self.expired.then_some(0));
        Ok(Filter {
            dn: patterns("--dn", &self.dn)?,
            subject: patterns("--subject", &self.subject)?,
            issuer: patterns("--issuer", &self.issuer)?,
            san: self.san.iter().map(|name| Glob::new(&in_short(name))).collect(),
            kinds: ItemKind::ALL
                .iter()
                .copied()
                .filter(|k| self.kind.iter().any(|n| n == k.name()))
                .collect(),
            labels: self.label.clone(),
            serial: digits("--serial", &self.serial)?
                .iter()
                .map(|d| d.trim_start_matches('0').to_owned())
                .collect(),
            sha256: digits("--sha256", &self.sha256)?,
            spki: digits("--spki", &self.spki)?,
            key_types: self.key_type.clone(),
            ends_before: within.map(|ms| now_ms().saturating_add(ms) / 1000),
            trusted: self.trusted,
            style: Style::by_name(&self.dn_style).unwrap_or_default(),
        })
    }

    /// A pattern, compared as `--dn-exact` says.
    pub fn pattern(&self, option: &str, text: &str) -> Result<Pattern> {
        Pattern::parse(text, self.dn_exact).map_err(|e| Failure::usage(format!("{option} {text}: {e}")))
    }

    /// Whether something by name was asked for, so that nothing found is an answer of its own.
    pub fn asks_for_something(&self) -> bool {
        let lists = [
            &self.dn,
            &self.subject,
            &self.issuer,
            &self.san,
            &self.serial,
            &self.sha256,
            &self.spki,
            &self.label,
        ];
        lists.iter().any(|l| !l.is_empty())
    }
}

/// Hex as people paste it: colons, blanks, `0x`, `sha256:`, capitals.
pub fn digits(option: &str, texts: &[String]) -> Result<Vec<String>> {
    let one = |text: &String| {
        let lower = text.trim().to_ascii_lowercase();
        let bare = ["sha256:", "#sha256:", "0x"].iter().find_map(|p| lower.strip_prefix(p)).unwrap_or(&lower);
        let bare: String = bare.chars().filter(|c| !matches!(c, ':' | ' ')).collect();
        match !bare.is_empty() && bare.chars().all(|c| c.is_ascii_hexdigit()) {
            true => Ok(bare),
            false => Err(Failure::usage(format!("{option} {text}: hex digits are wanted"))),
        }
    };
    texts.iter().map(one).collect()
}

/// An address as certificates' are printed (RFC 5952), however it was written: OpenSSL writes all of its groups.
fn in_short(name: &str) -> String {
    name.parse::<std::net::IpAddr>().map_or_else(|_| name.to_owned(), |address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_as_they_are_pasted() {
        let of = |t: &str| digits("--x", &[t.to_owned()]).ok().and_then(|d| d.into_iter().next());
        assert_eq!(of("AB:cd").as_deref(), Some("abcd"));
        assert_eq!(of("0x0A1b").as_deref(), Some("0a1b"));
        assert_eq!(of("sha256:ab").as_deref(), Some("ab"));
        assert_eq!((of(""), of("xy"), of("sha256:")), (None, None, None));
    }
}
