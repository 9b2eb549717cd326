//! Labels that several entries share.

use super::rules::{LABEL_CASE, LABEL_TWICE};
use super::{Check, Findings, Subject};
use crate::format::{Labels, lower_case};
use crate::jobs::Map;
use std::borrow::Cow;

pub(super) const LABELS: Check = Check { rules: &[&LABEL_TWICE, &LABEL_CASE], run };

fn run(subject: &Subject<'_>, findings: &mut Findings<'_>) {
    let fold: fn(&str) -> Cow<'_, str> = match subject.loaded.format.carries().labels {
        Labels::Unique(fold) => fold,
        Labels::Optional => |label| Cow::Borrowed(label),
        // There, certificates of one subject share a label by design.
        Labels::BySubject | Labels::None => return,
    };
    let mut same: Map<String, usize> = Map::default();
    let mut alike: Map<String, Vec<String>> = Map::default();
    for entry in subject.loaded.store.entries.iter().filter(|e| e.label.is_some()) {
        let label = entry.label_text();
        *same.entry(fold(&label).into_owned()).or_default() += 1;
        let group = alike.entry(lower_case(&label).into_owned()).or_default();
        if !group.iter().any(|l| *l == label) {
            group.push(label.into_owned());
        }
    }
    let mut repeated: Vec<_> = same.into_iter().filter(|(_, n)| *n > 1).collect();
    repeated.sort();
    for (label, n) in &repeated {
        findings.entry(&LABEL_TWICE, label, format!("{n} entries have this label"));
    }
    let mut alike: Vec<_> = alike.into_values().filter(|group| group.len() > 1).collect();
    alike.sort();
    for group in alike {
        // Where the format itself folds them, they are repeated, and that was said.
        if let [first, rest @ ..] = &group[..]
            && rest.iter().any(|l| fold(l) != fold(first))
        {
            let others: Vec<_> = rest.iter().map(|l| format!("\"{l}\"")).collect();
            findings.entry(&LABEL_CASE, first, format!("differs only in case from {}", others.join(", ")));
        }
    }
}
