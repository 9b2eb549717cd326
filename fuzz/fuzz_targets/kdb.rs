//! The decoder of `kdb`.
#![no_main]
mod store;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    store::read("kdb", "secret1", data);
    // The password's proof covers every byte, so only without it do changed records come to be read.
    store::read_unproved("kdb", "secret1", data);
});
