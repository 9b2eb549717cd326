//! The decoder of `jks`.
#![no_main]
mod store;

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::read("jks", "changeit", data));
