//! The decoder of `nss`, both forms. An input is a byte that says which, the length of the first file (four bytes,
//! big-endian), and the two files.
#![no_main]
mod store;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_at_checked(5) else { return };
    let names = if head[0] & 1 == 0 { ["cert9.db", "key4.db"] } else { ["cert8.db", "key3.db"] };
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let (first, second) = rest.split_at(length.min(rest.len()));
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in names.into_iter().zip([first, second]) {
        std::fs::write(folder.path().join(name), bytes).expect("a temporary file");
    }
    store::read_from("nss", "Keystore-1", &formats::place::Source::open(folder.path()).expect("a folder"));
});
