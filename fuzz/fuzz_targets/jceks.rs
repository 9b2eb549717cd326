//! The decoder of `jceks`.
#![no_main]
mod store;

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::read("jceks", "changeit", data));
