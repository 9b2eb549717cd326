//! The decoder of `der`.
#![no_main]
mod store;

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::read("der", "changeit", data));
