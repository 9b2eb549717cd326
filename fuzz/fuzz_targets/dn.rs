//! Patterns for distinguished names, and names printed for people: the first half of the input is the
//! pattern, the rest the name.
#![no_main]

use formats::query::dn::{Pattern, rfc4514};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (text, name) = data.split_at(data.len() / 2);
    let printed = rfc4514(name);
    assert!(!printed.contains('\n'), "a name forges a line");
    for exact in [false, true] {
        if let Ok(pattern) = Pattern::parse(&String::from_utf8_lossy(text), exact) {
            pattern.matches(name);
        }
    }
});
