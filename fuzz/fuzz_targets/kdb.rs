//! The decoder of `kdb`.
#![no_main]
mod store;

libfuzzer_sys::fuzz_target!(|data: &[u8]| store::read("kdb", "secret1", data));
