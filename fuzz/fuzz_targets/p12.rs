//! The decoder of `p12`.
#![no_main]
mod store;

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::read("p12", "changeit", data));
