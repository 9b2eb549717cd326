//! Tests of single parts; whole files are read in the golden tests, and GSKit judges what is written there.

use super::stash::{self, Form};
use crate::Rng;
use crate::error::Kind;
use crate::model::Password;

/// One password in both forms, as GSKit 8.0.60.5 wrote it.
const PASSWORD: &[u8] = b"Kdb-Spec-1";
const FORM_ONE: &str = "be9197d8a6859096d8c4f568b58769e0287e7171857ce758942270623478c5f3ec8f4d5806ef8c9fcc0679a31e61aa75\
     f06194e5ae0b7f5378b3cfc14f01697d852504697c3750fe652ff92827ee9daf4a46576c17b0cab241e53da49bdd6ed7\
     486565e3dcedbbbe8b85844d536ad45375959ee3e70b5145e94668d70966db1981";
const FORM_TWO: &str = "daa8fec4c09c5124fae2920534a9848b3b714b9ce237754dbb75815bb2516bb008412d13f2d2836e40012a76625cea1c\
     39b6bd1df081be4e95319c84a0cf82ea5a668fd753494f2bcb59138de941fc8441a7165161b66149a5690e0d42d6472c\
     8af039d9d4165e817af8c4247085be70e218fee17b0ba67de5a09d0fbab910ce34fcf7eab39101b3f5531a4d0551ef17\
     cbd72d969959ddf0bf37a9e2dad3d72a1d15f80aa985d4b40af0d8e2c71aab9e56ea1922391aade74cfbbff85a9d05ff\
     a7";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex")).collect()
}

#[test]
fn stashes_of_gskit_are_read() {
    for (hex, form) in [(FORM_ONE, Form::One), (FORM_TWO, Form::Two)] {
        let stash = bytes(hex);
        assert_eq!(stash::form_of(&stash), form);
        assert_eq!(stash::read(&stash).expect("password").bytes(), PASSWORD);
    }
    // A damaged salt makes form 2 look like form 1, and that one has no end of its password where it should.
    let mut damaged = bytes(FORM_TWO);
    damaged[0] ^= 1;
    assert!(stash::read(&damaged).map_or(true, |p| p.bytes() != PASSWORD));
}

#[test]
fn no_stash_has_a_zero_in_its_filler() {
    let rng = Rng::system();
    for _ in 0..50 {
        let stash = stash::write(&Password::new(PASSWORD.to_vec()), Form::One, &rng).expect("stash");
        let zeros: Vec<_> = (0..stash.len()).filter(|at| stash[*at] == 0xf5).collect();
        assert_eq!(zeros, [PASSWORD.len()]);
    }
    let with_zero = Password::new(b"a\0b".to_vec());
    assert_eq!(stash::write(&with_zero, Form::Two, &rng).err().map(|e| e.kind()), Some(Kind::Refused));
}
