//! Who issued whom: a forest of certificates, as an SVG.
//!
//! An issuer is found by its name and, where both certificates have them, by key identifiers. Signatures are
//! not checked for the picture; `check` does that for the chains of keys.

use super::{Inventory, Life, Seen, cut, day, shown};
use maud::{Markup, html};
use std::collections::{BTreeMap, HashMap};

/// More would be no picture.
const MOST: usize = 300;
/// Of one issuer's certificates.
const MOST_BELOW: usize = 25;

const ROW: usize = 30;
const STEP: usize = 30;
const BOX: usize = 340;

/// One line of the picture.
struct Line<'a> {
    depth: usize,
    /// The line of its issuer.
    above: Option<usize>,
    what: What<'a>,
}

enum What<'a> {
    Seen(&'a Seen),
    /// An issuer that is in no store.
    Absent(&'a str),
    /// So many more.
    More(usize),
}

/// The picture, and a sentence about what was left out.
pub fn issuers(inventory: &Inventory) -> Markup {
    let lines = lines(inventory);
    let left = inventory
        .certificates
        .len()
        .saturating_sub(lines.iter().filter(|l| matches!(l.what, What::Seen(_))).count());
    let deepest = lines.iter().map(|l| l.depth).max().unwrap_or(0);
    let (width, height) = (deepest * STEP + BOX + 330, lines.len() * ROW + 4);
    html! {
        @if left > 0 {
            p { (left) " certificates without a place in this picture are in the table." }
        }
        @if lines.is_empty() {
            p.none { "No certificates." }
        } @else {
            div.scroll {
                svg.long viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height) role="img"
                    aria-label="Which certificate was issued by which" {
                    @for (n, line) in lines.iter().enumerate() {
                        @if let Some(above) = line.above {
                            @let (x, from, to) = ((line.depth - 1) * STEP + 14, above * ROW + 26, n * ROW + 14);
                            path class="edge" d=(format!("M{x} {from}V{}Q{x} {to} {} {to}H{}", to - 6, x + 6, line.depth * STEP)) {}
                        }
                    }
                    @for (n, line) in lines.iter().enumerate() { (node(inventory, n, line)) }
                }
            }
        }
    }
}

fn node(inventory: &Inventory, n: usize, line: &Line<'_>) -> Markup {
    let (x, y) = (line.depth * STEP, n * ROW + 2);
    match &line.what {
        What::More(more) => html! {
            text class="dim" x=(x + 8) y=(y + 16) { "… and " (more) " more" }
        },
        What::Absent(name) => html! {
            g {
                title { (shown(name)) "\nin no store that was looked into" }
                rect class="node absent" x=(x) y=(y) width=(BOX) height="24" rx="6" {}
                text class="dim" x=(x + 10) y=(y + 16) { (cut(name, 46)) }
                text class="dim" x=(x + BOX + 12) y=(y + 16) { "in no store" }
            }
        },
        What::Seen(seen) => {
            let card = &seen.card;
            let life = inventory.life(card.not_after);
            let stores =
                if seen.stores == 1 { "1 store".to_owned() } else { format!("{} stores", seen.stores) };
            let end = card.not_after.map_or("?".to_owned(), day);
            let word = if life == Life::Over { "ended" } else { "until" };
            html! {
                g {
                    title { (shown(&card.subject)) "\n" (word) " " (end) ", in " (stores) "\n" (card.sha256) }
                    rect class=(format!("node {}", life.class())) x=(x) y=(y) width=(BOX) height="24" rx="6" {}
                    @if card.key { circle class="dot" cx=(x + 13) cy=(y + 12) r="4" {} }
                    text x=(x + if card.key { 24 } else { 10 }) y=(y + 16) { (cut(&card.name, if card.key { 43 } else { 46 })) }
                    text class="dim" x=(x + BOX + 12) y=(y + 16) {
                        (word) " " (end) " · " (stores) @if card.key { " · private key" }
                    }
                }
            }
        }
    }
}

/// The forest, line by line: roots with most below them first.
fn lines(inventory: &Inventory) -> Vec<Line<'_>> {
    let all: Vec<&Seen> = inventory.certificates.values().collect();
    let mut by_name: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (at, seen) in all.iter().enumerate() {
        by_name.entry(&seen.card.subject_der).or_default().push(at);
    }
    let mut below: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut orphans: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut roots = Vec::new();
    for (at, seen) in all.iter().enumerate() {
        match issuer(at, seen, &all, &by_name) {
            _ if seen.card.subject_der == seen.card.issuer_der => roots.push(at),
            Some(above) => below.entry(above).or_default().push(at),
            None => orphans.entry(&seen.card.issuer).or_default().push(at),
        }
    }
    let count = |at: &usize| below.get(at).map_or(0, Vec::len);
    roots.sort_by_key(|at| (std::cmp::Reverse(count(at)), all.get(*at).map(|s| s.card.name.to_lowercase())));
    let mut forest = Forest { all: &all, below: &below, done: vec![false; all.len()], lines: Vec::new() };
    let (with, without): (Vec<usize>, Vec<usize>) = roots.into_iter().partition(|at| count(at) > 0);
    with.into_iter().for_each(|at| forest.put(at, 0, None));
    for (name, group) in orphans {
        if forest.lines.len() >= MOST {
            break;
        }
        forest.lines.push(Line { depth: 0, above: None, what: What::Absent(name) });
        forest.put_all(&group, 1, Some(forest.lines.len() - 1));
    }
    without.into_iter().for_each(|at| forest.put(at, 0, None));
    forest.lines
}

/// Its issuer among all: by name, and where both say so by key identifier.
fn issuer(at: usize, seen: &Seen, all: &[&Seen], by_name: &HashMap<&[u8], Vec<usize>>) -> Option<usize> {
    let candidates = by_name.get(&seen.card.issuer_der[..])?;
    let fits = |n: &&usize| {
        let Some(other) = all.get(**n) else { return false };
        let ids = (&seen.card.authority_key_id, &other.card.subject_key_id);
        **n != at && !matches!(ids, (Some(wanted), Some(own)) if wanted != own)
    };
    candidates.iter().filter(fits).max_by_key(|n| all.get(**n).and_then(|s| s.card.not_after)).copied()
}

struct Forest<'a, 'b> {
    all: &'b [&'a Seen],
    below: &'b HashMap<usize, Vec<usize>>,
    done: Vec<bool>,
    lines: Vec<Line<'a>>,
}

impl Forest<'_, '_> {
    fn put(&mut self, at: usize, depth: usize, above: Option<usize>) {
        let Some(seen) = self.all.get(at).copied() else { return };
        // Cross-certificates can make a ring.
        if self.lines.len() >= MOST || depth > 12 || std::mem::replace(&mut self.done[at], true) {
            return;
        }
        self.lines.push(Line { depth, above, what: What::Seen(seen) });
        let line = self.lines.len() - 1;
        if let Some(group) = self.below.get(&at) {
            self.put_all(group, depth + 1, Some(line));
        }
    }

    /// CAs first, then by name; not all of a large number.
    fn put_all(&mut self, group: &[usize], depth: usize, above: Option<usize>) {
        let mut group = group.to_vec();
        group.sort_by_key(|at| {
            self.all.get(*at).map(|s| (!s.card.ca, !s.card.key, s.card.name.to_lowercase(), s.card.not_after))
        });
        for at in group.iter().take(MOST_BELOW) {
            self.put(*at, depth, above);
        }
        if group.len() > MOST_BELOW && self.lines.len() < MOST {
            self.lines.push(Line { depth, above, what: What::More(group.len() - MOST_BELOW) });
        }
    }
}
