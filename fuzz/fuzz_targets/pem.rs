//! The decoder of `pem`.
#![no_main]
mod store;

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::read("pem", "changeit", data));
