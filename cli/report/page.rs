//! The page itself.

use super::issuers::issuers;
use super::timeline::timeline;
use super::{Inventory, Life, StoreSeen, cut, day, shown};
use formats::jobs::check::Finding;
use formats::jobs::check::rules::Severity;
use formats::jobs::list::Row;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

/// How a page of ours begins, so that one of an earlier run may be replaced.
pub const MARK: &str = "<!DOCTYPE html><html lang=\"en\" data-made-by=\"keyferry report\"";

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page. Style and script are let in by their digests alone, so that no other script can run, whatever a
/// name in a store holds.
pub fn page(inventory: &Inventory) -> String {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        digest(STYLE),
        digest(SCRIPT)
    );
    let title = format!("Keystores on {}", day(inventory.now));
    html! {
        (DOCTYPE)
        html lang="en" data-made-by="keyferry report" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { div {
                    h1 { (title) }
                    p.soft { "Looked through: " (shown(&inventory.roots.join(", "))) }
                } }
                (bar())
                main {
                    (tiles(inventory))
                    section #timeline {
                        h2 { "When certificates end" }
                        p { "Each certificate counts once, however many stores hold it. Shaded: the next " (inventory.within / 86_400) " days." }
                        (timeline(inventory))
                    }
                    (findings(inventory))
                    (stores(inventory))
                    (certificates(inventory))
                    section #issuers {
                        h2 { "Who issued whom" }
                        p { "By names and key identifiers. A dot marks a certificate whose private key is in one of the stores." }
                        (issuers(inventory))
                    }
                }
                footer { "Made by keyferry " (env!("CARGO_PKG_VERSION")) " at " (formats::query::time::rfc3339(inventory.now)) ". This page loads nothing. It names where private keys are: keep it to those who may know." }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

/// As a Content-Security-Policy names what may run.
fn digest(text: &str) -> String {
    format!("sha256-{}", base64_simd::STANDARD.encode_to_string(Sha256::digest(text)))
}

fn bar() -> Markup {
    html! {
        div.bar { div {
            nav aria-label="Parts of the page" {
                a href="#timeline" { "Timeline" }
                a href="#findings-part" { "Findings" }
                a href="#stores-part" { "Stores" }
                a href="#certificates-part" { "Certificates" }
                a href="#issuers" { "Issuers" }
            }
            input #q type="search" placeholder="Search all tables ( / )" aria-label="Search all tables" autocomplete="off";
        } }
    }
}

fn tiles(inventory: &Inventory) -> Markup {
    let all = inventory.certificates.values();
    let life = |wanted: Life| all.clone().filter(|s| inventory.life(s.card.not_after) == wanted).count();
    let keys = inventory.stores.iter().flat_map(|s| &s.rows).filter(|r| r.kind == "key");
    let found = |severity: Severity| {
        inventory.stores.iter().flat_map(|s| &s.findings).filter(|f| f.severity == severity).count()
    };
    let tile = |n: usize, text: &str, class: &str| {
        html! { div class=(format!("tile {}", if n > 0 { class } else { "" })) { b { (n) } span { (text) } } }
    };
    html! {
        div.tiles {
            (tile(inventory.stores.len(), "stores", ""))
            (tile(inventory.certificates.len(), "different certificates", ""))
            (tile(keys.count(), "private keys in stores", ""))
            (tile(life(Life::Over), "certificates ended", "error"))
            (tile(life(Life::Short), &format!("end within {} days", inventory.within / 86_400), "warning"))
            (tile(found(Severity::Error), "errors found", "error"))
            (tile(found(Severity::Warning), "warnings", "warning"))
        }
    }
}

/// A section with a table that can be sorted and searched.
fn table(id: &str, title: &str, note: &str, above: &Markup, heads: &[&str], rows: &Markup) -> Markup {
    html! {
        section id=(format!("{id}-part")) {
            h2 { (title) " " span.soft #(format!("{id}-count")) {} }
            p { (note) }
            (above)
            div.scroll {
                table #(id) {
                    thead { tr { @for head in heads { th scope="col" { button type="button" { (head) } } } } }
                    tbody { (rows) }
                }
            }
            p.none #(format!("{id}-none")) hidden { "Nothing to show." }
        }
    }
}

fn findings(inventory: &Inventory) -> Markup {
    let mut all: Vec<&Finding> = inventory.stores.iter().flat_map(|s| &s.findings).collect();
    all.sort_by_key(|f| std::cmp::Reverse(f.severity));
    let chips = html! {
        div.chips role="group" aria-label="Show only" {
            @for severity in Severity::ALL {
                @let n = all.iter().filter(|f| f.severity == *severity).count();
                button type="button" data-severity=(severity.name()) aria-pressed="false" { (severity.name()) " " (n) }
            }
        }
    };
    let rows = html! {
        @for f in &all {
            tr data-severity=(f.severity.name()) {
                td.nowrap data-sort=(3 - f.severity as u8) { span class=(format!("tag {}", f.severity.name())) { (f.severity.name()) } }
                td.nowrap { code { (f.code) } }
                td.text { (path(&f.store)) @if let Some(entry) = &f.entry { small { (shown(entry)) } } }
                td.text { (shown(&f.message)) small { (f.advice) } }
            }
        }
    };
    let note = "What keyferry check says of each store. keyferry explain CODE says more.";
    table(
        "findings",
        "Findings",
        note,
        &chips,
        &["Severity", "Code", "Store and entry", "What, and what to do"],
        &rows,
    )
}

fn stores(inventory: &Inventory) -> Markup {
    let rows = html! { @for store in &inventory.stores { (store_row(inventory, store)) } };
    let heads = ["Store", "Format", "Entries", "Keys", "First to end", "Findings"];
    table("stores", "Stores", "What was found, by its content.", &html! {}, &heads, &rows)
}

fn store_row(inventory: &Inventory, store: &StoreSeen) -> Markup {
    let keys = store.rows.iter().filter(|r| r.kind == "key").count();
    let first = store.rows.iter().filter_map(|r| r.not_after.as_deref()).min();
    let worst = store.findings.iter().map(|f| f.severity).max();
    let count = |severity| store.findings.iter().filter(|f| f.severity == severity).count();
    html! {
        tr {
            td.text { (path(&store.name)) }
            td.nowrap { @match store.format { Some(format) => (format), None => span.tag.error { "unreadable" } } }
            td.number { (store.rows.len()) }
            td.number { (keys) }
            td.nowrap data-sort=(first.unwrap_or_default()) { (end(inventory, first)) }
            td.nowrap data-sort=(worst.map_or(0, |w| (w as usize + 1) * 10_000 + count(w))) {
                @for severity in Severity::ALL.iter().filter(|s| count(**s) > 0) {
                    span class=(format!("tag {}", severity.name())) { (count(*severity)) " " (severity.name()) } " "
                }
                @if worst.is_none() { span.tag.good { "none" } }
            }
        }
    }
}

fn certificates(inventory: &Inventory) -> Markup {
    let entries = inventory.stores.iter().flat_map(|s| &s.rows);
    let rows = html! { @for row in entries { (entry_row(inventory, row)) } };
    let heads = ["Store", "Label", "Kind", "Subject and issuer", "Key", "Ends", "SHA-256"];
    table("certificates", "Certificates by store", "Every entry of every store.", &html! {}, &heads, &rows)
}

fn entry_row(inventory: &Inventory, row: &Row) -> Markup {
    let key = row.key.as_ref().map(|k| {
        let size = k.curve.as_ref().map(ToString::to_string).or(k.bits.map(|b| b.to_string()));
        format!("{} {}", k.algorithm, size.unwrap_or_default())
    });
    html! {
        tr {
            td.text { (path(&row.store)) }
            td.text { (shown(row.label.as_deref().unwrap_or_default())) }
            td.nowrap { (row.kind) @if row.default { " " span.tag { "default" } } }
            td.text {
                (shown(row.subject.as_deref().unwrap_or_default()))
                @match &row.issuer {
                    Some(issuer) if Some(issuer) == row.subject.as_ref() => small { "self-issued" },
                    Some(issuer) => small { "by " (shown(issuer)) },
                    None => "",
                }
            }
            td.nowrap { (shown(key.as_deref().unwrap_or_default())) }
            td.nowrap data-sort=(row.not_after.as_deref().unwrap_or_default()) { (end(inventory, row.not_after.as_deref())) }
            td.mono title=(row.sha256.as_deref().unwrap_or_default()) { (cut(row.sha256.as_deref().unwrap_or_default(), 13)) }
        }
    }
}

/// A path, which may break after each of its parts.
fn path(name: &str) -> Markup {
    let text = shown(name);
    html! { @for part in text.split_inclusive('/') { (part) wbr; } }
}

/// A day, coloured by how near it is.
fn end(inventory: &Inventory, end: Option<&str>) -> Markup {
    let Some(end) = end else { return html! {} };
    // RFC 3339 text in UTC sorts like time.
    let now = formats::query::time::rfc3339(inventory.now);
    let soon = formats::query::time::rfc3339(inventory.now.saturating_add(inventory.within));
    let text = end.split('T').next().unwrap_or_default();
    html! {
        @if *end <= *now { span.tag.error { (text) } }
        @else if *end <= *soon { span.tag.warning { (text) } }
        @else { (text) }
    }
}
