//! The container: what could be read, the stash, companions, old generations, what Java sees.

use super::rules::{
    COMPANION_BLOCKS, COMPANION_STALE, EMPTY_TO_JAVA, ERASED_KEY, HIDDEN_FROM_JAVA, NOT_AUTHENTICATED, NOTE,
    PARTS_UNREADABLE, PASSWORD_EXPIRED, PASSWORD_EXPIRING, STASH_DIFFERS, STASH_UNREADABLE,
};
use super::{Check, Findings, Subject, label};
use crate::context::{Ctx, OnePassword};
use crate::error::Kind;
use crate::fact::Fact;
use crate::format::FORMATS;
use crate::jobs::{Input, load};
use crate::model::Item;
use crate::place::Source;
use crate::query::time::rfc3339;
use crate::stash;
use std::path::Path;
use std::sync::Arc;

pub(super) const READ: Check = Check {
    rules: &[&PARTS_UNREADABLE, &NOT_AUTHENTICATED, &NOTE],
    run: |subject, findings| {
        let store = &subject.loaded.store;
        for defect in &store.defects {
            match &defect.place().label {
                Some(label) => findings.entry(&PARTS_UNREADABLE, label, defect.message()),
                None => findings.store(&PARTS_UNREADABLE, defect.message()),
            }
        }
        store.warnings.iter().for_each(|w| findings.store(&NOTE, w.as_str()));
        if store.entries.iter().any(|e| e.authenticated == Some(false)) {
            findings.store(&NOT_AUTHENTICATED, "its integrity was not checked");
        }
    },
};

pub(super) const STASH: Check = Check { rules: &[&STASH_DIFFERS, &STASH_UNREADABLE], run: check_stash };

fn check_stash(subject: &Subject<'_>, findings: &mut Findings<'_>) {
    let Some(place) = subject.path.and_then(|p| subject.loaded.format.password_file(p)) else { return };
    if !place.is_file() {
        return;
    }
    let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match Source::open(&place).and_then(|s| stash::read_from(&s)) {
        Err(e) => findings.store(&STASH_UNREADABLE, format!("{name}: {}", e.message())),
        // The store's own password is proved by its being open.
        Ok(stashed) => match subject.ctx.secrets.store() {
            Ok(Some(password)) if password.bytes() != stashed.bytes() => {
                findings.store(&STASH_DIFFERS, format!("{name} holds another password than the store's"));
            }
            _ => {}
        },
    }
}

/// Of a store that did not open: whether its stash would have opened it.
pub(super) fn stash_of_closed(path: &Path, ctx: &Ctx<'_>, findings: &mut Findings<'_>) {
    let places = FORMATS.iter().filter_map(|f| f.password_file(path)).filter(|p| p != path && p.is_file());
    for place in places {
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match Source::open(&place).and_then(|s| stash::read_from(&s)) {
            Err(e) => findings.store(&STASH_UNREADABLE, format!("{name}: {}", e.message())),
            Ok(stashed) => {
                let secrets = OnePassword(Arc::new(stashed));
                let ctx = Ctx { secrets: &secrets, ..*ctx };
                let opened =
                    Source::open(path).and_then(|source| load(&Input { source: &source, format: None, ctx }));
                if opened.is_err_and(|e| e.kind() == Kind::Password) {
                    findings.store(&STASH_DIFFERS, format!("{name} does not open the store"));
                }
            }
        }
    }
}

pub(super) const FACTS: Check = Check {
    rules: &[
        &COMPANION_BLOCKS,
        &COMPANION_STALE,
        &PASSWORD_EXPIRED,
        &PASSWORD_EXPIRING,
        &ERASED_KEY,
        &EMPTY_TO_JAVA,
        &HIDDEN_FROM_JAVA,
    ],
    run: facts,
};

fn facts(subject: &Subject<'_>, findings: &mut Findings<'_>) {
    let mut hidden = Vec::new();
    for fact in &subject.facts {
        match fact {
            Fact::BadCompanion { suffix, blocks, why } => {
                let rule = if *blocks { &COMPANION_BLOCKS } else { &COMPANION_STALE };
                findings.store(rule, format!("the .{suffix} beside it: {why}"));
            }
            Fact::PasswordExpires(at) if *at <= subject.now => {
                findings.store(&PASSWORD_EXPIRED, format!("since {}", rfc3339(*at)));
            }
            Fact::PasswordExpires(at) if *at - subject.now <= subject.asked.within => {
                findings.store(&PASSWORD_EXPIRING, format!("at {}", rfc3339(*at)));
            }
            Fact::HiddenFromJava(label) => hidden.push(label.as_str()),
            Fact::PasswordExpires(_) | Fact::Protected { .. } | Fact::OnePassword => {}
        }
    }
    for entry in subject.erased.iter().filter(|e| e.secret().is_some()) {
        findings.entry(&ERASED_KEY, &label(entry), "this key is in a slot that was marked free");
    }
    if hidden.is_empty() {
        return;
    }
    let entries = &subject.loaded.store.entries;
    let shown = entries.iter().any(|e| match e.item {
        Item::Cert(_) => e.trust.is_some(),
        Item::Key { .. } | Item::Symmetric(_) => true,
        _ => false,
    });
    let n = hidden.len();
    let text = if n == 1 { "1 certificate".to_owned() } else { format!("{n} certificates") };
    if shown {
        findings.store(&HIDDEN_FROM_JAVA, format!("{text} without Java's attribute"));
    } else {
        findings.store(&EMPTY_TO_JAVA, format!("{text}, all without Java's attribute"));
    }
}
