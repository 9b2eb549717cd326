//! A page about many stores: what they hold, when it ends, what is wrong, who issued whom. It is one file that
//! loads nothing, and whatever stands in a name stays text: every value goes through maud, which escapes it.

mod issuers;
mod page;
mod timeline;

use formats::error::Printable;
use formats::jobs::check::{Card, Finding};
use formats::jobs::list::Row;
use std::collections::BTreeMap;

pub use page::{MARK, page};

/// All that a page shows.
pub struct Inventory {
    /// When it was taken, in seconds since 1970.
    pub now: i64,
    /// What ends within so many seconds is marked.
    pub within: i64,
    /// Where it was looked.
    pub roots: Vec<String>,
    /// The stores, in the order of the walk.
    pub stores: Vec<StoreSeen>,
    /// Every certificate, once, by fingerprint.
    pub certificates: BTreeMap<String, Seen>,
}

/// One store.
pub struct StoreSeen {
    /// As the caller names it.
    pub name: String,
    /// `None`: it could not be read.
    pub format: Option<&'static str>,
    /// What it holds.
    pub rows: Vec<Row>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// One certificate, in however many stores.
pub struct Seen {
    /// What is known of it.
    pub card: Card,
    /// So many stores have it.
    pub stores: usize,
}

impl Inventory {
    /// Adds the certificates of one store.
    pub fn add(&mut self, cards: Vec<Card>) {
        for card in cards {
            match self.certificates.get_mut(&card.sha256) {
                Some(seen) => {
                    seen.stores += 1;
                    seen.card.key |= card.key;
                }
                None => {
                    self.certificates.insert(card.sha256.clone(), Seen { card, stores: 1 });
                }
            }
        }
    }

    fn life(&self, end: Option<i64>) -> Life {
        match end {
            Some(end) if end <= self.now => Life::Over,
            Some(end) if end - self.now <= self.within => Life::Short,
            _ => Life::Long,
        }
    }
}

/// How much of a certificate's time is left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Over,
    Short,
    Long,
}

impl Life {
    fn class(self) -> &'static str {
        match self {
            Life::Over => "error",
            Life::Short => "warning",
            Life::Long => "good",
        }
    }
}

/// Text from a store, safe for people's eyes.
fn shown(text: &str) -> String {
    Printable(text).to_string()
}

/// The same, cut to so many characters.
fn cut(text: &str, most: usize) -> String {
    let text = shown(text);
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The day of a time.
fn day(seconds: i64) -> String {
    formats::query::time::rfc3339(seconds).split('T').next().unwrap_or_default().to_owned()
}
