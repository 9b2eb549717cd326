//! Patterns for distinguished names, and names printed for people: the first half of the input is the
//! pattern, the rest the name.
#![no_main]

use formats::query::dn::{Name, Pattern, Style, compare, mq_warnings};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (text, name) = data.split_at(data.len() / 2);
    for style in Style::ALL {
        assert!(!style.text(name).contains(char::is_control), "a name forges a line");
    }
    mq_warnings(name);
    let text = String::from_utf8_lossy(text);
    for exact in [false, true] {
        if let Ok(pattern) = Pattern::parse(&text, exact) {
            assert_eq!(pattern.matches(name), pattern.hit(name).is_some());
        }
    }
    if let Ok(other) = Name::of_text(&text) {
        let found = compare(&other, &Name::of_der(name));
        assert_eq!(found.equal, found.grade == Some("exact"));
    }
});
