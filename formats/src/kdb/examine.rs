//! What a person should know about a set: companions that don't fit it, and the end of its password.

use super::decode::Database;
use super::encode::read_header;
use super::layout::Role;
use crate::context::Ctx;
use crate::error::Kind;
use crate::fact::Fact;
use crate::place::Source;

/// What can be found out; what can't is left out.
pub fn examine(from: &Source, ctx: &Ctx<'_>) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Ok((header, _)) = read_header(from, Role::Keys)
        && header.expires != 0
    {
        facts.push(Fact::PasswordExpires(i64::from(header.expires)));
    }
    for (suffix, role, blocks) in [("rdb", Role::Requests, true), ("crl", Role::Crls, false)] {
        // GSKit doesn't open a database beside such a .rdb; a .crl it passes over.
        if let Some(why) = misfit(from, suffix, role, ctx) {
            facts.push(Fact::BadCompanion { suffix, blocks, why });
        }
    }
    facts
}

/// Why a companion doesn't fit; `None`: it does, or isn't there.
fn misfit(from: &Source, suffix: &str, role: Role, ctx: &Ctx<'_>) -> Option<String> {
    let companion = match from.companion(suffix) {
        Ok(companion) => companion?,
        Err(e) => return Some(e.message().to_owned()),
    };
    let password = ctx.secrets.store().ok().flatten();
    match Database::read(&companion, role, password.as_deref()) {
        Ok(_) => None,
        Err(e) if e.kind() == Kind::Password => Some("it has another password than the store".to_owned()),
        Err(e) => Some(format!("it can't be read: {}", e.message())),
    }
}
