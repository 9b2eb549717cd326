//! A second opinion on certificates: what the headers' walk finds is what `x509-parser` parses.

use crate::support::{root, testdata};
use formats::asn1::cert_fields;
use formats::jobs::{self, Input};
use formats::model::Item;
use formats::place::Source;
use formats::query::time;
use formats::{Ctx, NoSecrets, Options, Session};
use std::collections::HashSet;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

/// Every certificate of the demo bundle and of the material that the golden stores are made from.
fn certificates() -> HashSet<Vec<u8>> {
    let mut files = vec![testdata("demo/ca-bundle.pem"), testdata("demo/demo-root.pem")];
    let material = root().join("testdata/java/material");
    for item in std::fs::read_dir(material).unwrap() {
        let path = item.unwrap().path();
        if path.extension().is_some_and(|e| e == "crt") {
            files.push(path);
        }
    }
    let (options, session) = (Options::default(), Session::new(0));
    let mut out = HashSet::new();
    for file in files {
        let source = Source::open(&file).unwrap();
        let ctx = Ctx { secrets: &NoSecrets, options: &options, session: &session };
        let loaded = jobs::load(&Input { source: &source, format: None, ctx }).unwrap();
        for entry in loaded.store.entries {
            if let Item::Cert(der) = entry.item {
                out.insert(der.to_vec());
            }
        }
    }
    out
}

#[test]
fn the_walk_finds_what_a_parser_parses() {
    let all = certificates();
    assert!(all.len() > 150, "only {} certificates", all.len());
    for der in &all {
        let walked = cert_fields(der).unwrap();
        let (rest, parsed) = X509Certificate::from_der(der).unwrap();
        let name = formats::query::dn::rfc4514(walked.subject);
        assert!(rest.is_empty(), "{name}");
        assert_eq!(walked.serial, parsed.raw_serial(), "{name}");
        assert_eq!(walked.issuer, parsed.issuer().as_raw(), "{name}");
        assert_eq!(walked.subject, parsed.subject().as_raw(), "{name}");
        assert_eq!(walked.spki, parsed.public_key().raw, "{name}");
        let validity = parsed.validity();
        assert_eq!(time::seconds(walked.not_before), Some(validity.not_before.timestamp()), "{name}");
        assert_eq!(time::seconds(walked.not_after), Some(validity.not_after.timestamp()), "{name}");
        let (mut subject_id, mut authority_id) = (None, None);
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => subject_id = Some(id.0),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    authority_id = id.key_identifier.as_ref().map(|k| k.0)
                }
                _ => {}
            }
        }
        assert_eq!(walked.subject_key_id(), subject_id, "{name}");
        assert_eq!(walked.authority_key_id(), authority_id, "{name}");
        match parsed.basic_constraints().unwrap() {
            Some(constraints) => assert_eq!(walked.is_ca(), constraints.value.ca, "{name}"),
            None => assert!(!walked.is_ca() || parsed.extensions().is_empty(), "{name}"),
        }
    }
}
