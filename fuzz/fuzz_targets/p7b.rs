//! The decoder of `p7b`.
#![no_main]
mod store;

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::read("p7b", "changeit", data));
