//! Distinguished names.

use crate::error::Result;

/// A name's text as RFC 4514 has it: reversed DER order. `name` is a whole `Name` element.
pub fn rfc4514(_name: &[u8]) -> String {
    String::new()
}

/// A pattern for subjects or issuers, parsed once.
#[derive(Clone, Debug)]
pub struct Pattern;

impl Pattern {
    /// Parses `CN=colin,O=SSS` in any dialect, or a substring when there is no `=`. `exact`: values
    /// compare byte for byte (`--dn-exact`).
    pub fn parse(_text: &str, _exact: bool) -> Result<Pattern> {
        Ok(Pattern)
    }

    /// Whether a whole `Name` element matches.
    pub fn matches(&self, _name: &[u8]) -> bool {
        false
    }
}
