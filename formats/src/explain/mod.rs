//! What codes and messages mean, and what to do: our own, and those of the programs that read the same stores.
//!
//! One table, made of the rules of `check`, of our kinds of error and loss, of the exit statuses, and of the
//! tables in this folder. Meanings are in our own words. What a row says of GSKit was met with GSKit 8.0.60.5
//! where its page says so, and names are those that its own `gsk_strerror` gives.

mod cryptoki;
mod gskit;
mod mq;
mod own;
mod texts;

use serde::Serialize;

/// One code, or one message that has no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// Who says it: `GSKit`, `IBM MQ`, `PKCS#11`, `Java`, `OpenSSL`, `NSS`, `keyferry finding` and others.
    pub source: &'static str,
    /// Its name, or the message's usual text.
    pub code: &'static str,
    /// Its number, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// What it means.
    pub meaning: &'static str,
    /// What usually causes it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub cause: &'static str,
    /// What to do.
    pub advice: &'static str,
}

/// Every topic: our own first, then the peers'.
pub fn topics() -> Vec<Topic> {
    let tables = [gskit::TOPICS, mq::TOPICS, texts::TOPICS];
    let mut all = own::topics();
    all.extend(tables.into_iter().flatten());
    all.extend(cryptoki::topics());
    all
}

/// What was found for a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// These are meant.
    Found(Vec<Topic>),
    /// None is; these are near.
    Near(Vec<Topic>),
}

/// So many near ones are shown.
const NEAR: usize = 6;
/// A shorter text is a part of too many.
const LEAST_TEXT: usize = 4;

/// Looks for a code (`KEY-MISMATCH`, `GSKit 408`, `2393`, `0xa0`, `CKR_PIN_INCORRECT`) or a part of a message,
/// or a message that one of ours is a part of. Case and blanks don't count.
pub fn explain(question: &str) -> Answer {
    let all = topics();
    let asked = plain(question);
    let exact: Vec<Topic> = all.iter().filter(|t| names(t, &asked)).copied().collect();
    if !exact.is_empty() {
        return Answer::Found(exact);
    }
    if asked.len() >= LEAST_TEXT {
        // The longest of ours within a pasted message says most.
        let mut within: Vec<Topic> =
            all.iter().filter(|t| is_text(t) && asked.contains(&plain(t.code))).copied().collect();
        within.sort_by_key(|t| std::cmp::Reverse(t.code.len()));
        let part = all.iter().filter(|t| plain(t.code).contains(&asked)).copied();
        let found: Vec<Topic> = if within.is_empty() { part.collect() } else { within };
        if !found.is_empty() {
            return Answer::Found(found);
        }
    }
    Answer::Near(near(&all, &asked))
}

/// Short words are parts of everything; only codes and texts of some length are looked for in messages.
fn is_text(topic: &Topic) -> bool {
    topic.code.len() >= 8 && !topic.source.starts_with("keyferry")
}

/// Whether the question is this very topic: its code, or its number, with or without who says it.
fn names(topic: &Topic, asked: &str) -> bool {
    if plain(topic.code) == asked {
        return true;
    }
    let Some(number) = topic.number else { return false };
    let words: Vec<&str> = asked.split(' ').collect();
    let [before @ .., last] = &words[..] else { return false };
    let same = match last.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16) == Ok(number),
        None => last.parse() == Ok(number),
    };
    let source = plain(topic.source);
    const MEANINGLESS: [&str; 8] = ["error", "rc", "code", "reason", "return", "exit", "mqrc", "ckr"];
    same && before.iter().all(|w| source.contains(w) || MEANINGLESS.contains(w))
}

/// Small letters, single blanks, no quotes.
fn plain(text: &str) -> String {
    let words =
        text.split(|c: char| c.is_whitespace() || "\"'`‘’“”:,=".contains(c)).filter(|w| !w.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

/// Those that share most with the question: words, else runs of three letters.
fn near(all: &[Topic], asked: &str) -> Vec<Topic> {
    let wanted = runs(asked);
    let score = |t: &Topic| {
        let have = runs(&plain(t.code));
        let common = wanted.iter().filter(|r| have.contains(r)).count();
        2000 * common / (wanted.len() + have.len()).max(1)
    };
    let mut scored: Vec<(usize, Topic)> =
        all.iter().map(|t| (score(t), *t)).filter(|(s, _)| *s > 250).collect();
    scored.sort_by_key(|(s, _)| std::cmp::Reverse(*s));
    scored.into_iter().take(NEAR).map(|(_, t)| t).collect()
}

fn runs(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().take(400).collect();
    letters.windows(3).map(|w| w.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(question: &str) -> Vec<&'static str> {
        match explain(question) {
            Answer::Found(topics) => topics.iter().map(|t| t.code).collect(),
            Answer::Near(_) => Vec::new(),
        }
    }

    #[test]
    fn by_code_number_and_text() {
        assert_eq!(found("gskit 408"), ["GSK_ERROR_BAD_KEYFILE_PASSWORD"]);
        assert_eq!(found("GSK_ERROR_BAD_CERT"), ["GSK_ERROR_BAD_CERT"]);
        assert_eq!(found("2393"), ["MQRC_SSL_INITIALIZATION_ERROR"]);
        assert_eq!(found("MQRC 2381"), ["MQRC_KEY_REPOSITORY_ERROR"]);
        assert_eq!(found("reason 2063"), ["MQRC_SECURITY_ERROR"]);
        assert_eq!(found("0xA0"), ["CKR_PIN_INCORRECT"]);
        assert_eq!(found("ckr_pin_incorrect"), ["CKR_PIN_INCORRECT"]);
        assert_eq!(found("ctgsk3026w"), ["CTGSK3026W"]);
        assert_eq!(found("Key-Mismatch"), ["key-mismatch"]);
        assert_eq!(found("exit status 8"), ["8"]);
        assert!(found("8").len() >= 2, "{:?}", found("8"));
        assert_eq!(found("keystore password was incorrect"), ["keystore password was incorrect"]);
        let pasted = "java.io.IOException: keystore password was incorrect\n\tat sun.security.pkcs12";
        assert_eq!(found(pasted).first(), Some(&"keystore password was incorrect"));
        let pasted =
            "keytool error: java.io.IOException: Keystore was tampered with, or password was incorrect";
        assert_eq!(found(pasted).first(), Some(&"Keystore was tampered with, or password was incorrect"));
    }

    #[test]
    fn near_ones() {
        let near = |q: &str| match explain(q) {
            Answer::Near(topics) => topics.iter().map(|t| t.code).collect(),
            Answer::Found(topics) => panic!("{q}: {topics:?}"),
        };
        let near_pin: Vec<&str> = near("CKR_PIN_INCORECT");
        assert_eq!(near_pin.first(), Some(&"CKR_PIN_INCORRECT"));
        assert!(near("xyzzy").is_empty());
        assert!(near("99999").is_empty());
    }

    #[test]
    fn every_topic_says_what_to_do() {
        let all = topics();
        assert!(all.len() > 200, "{}", all.len());
        for t in &all {
            assert!(!t.code.is_empty() && t.meaning.ends_with('.') && !t.advice.is_empty(), "{t:?}");
            assert!(t.advice.ends_with('.'), "{t:?}");
            let same = all.iter().filter(|o| o.source == t.source && o.code == t.code).count();
            assert_eq!(same, 1, "{t:?}");
        }
    }
}
