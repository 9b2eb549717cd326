//! The BER and DER reader, driven over everything that it finds.
#![no_main]

use formats::asn1::{Reader, cert_fields};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    walk(Reader::new(data, 0), 0);
    if let Ok(fields) = cert_fields(data) {
        fields.is_ca();
        formats::query::dn::rfc4514(fields.subject);
    }
});

fn walk(mut reader: Reader<'_>, depth: usize) {
    while let Ok(Some(tlv)) = reader.next() {
        if depth < 64 && tlv.tag.is_constructed() {
            walk(tlv.reader(), depth + 1);
        }
    }
}
