//! The session cipher against the test vectors of NIST SP 800-38A, section F.2.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail by panicking"
)]

use gorgone_crypto::{Error, SessionKey};
use rand::SeedableRng;
use rand::rngs::StdRng;

const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
                     30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";

fn key(hex: &str) -> SessionKey {
    let iv = core::array::from_fn(|place| u8::try_from(place).unwrap());
    SessionKey::from_parts(&hex::decode(hex).unwrap(), iv).unwrap()
}

#[test]
fn all_key_sizes_encrypt_as_the_standard_says() {
    for (hex, sealed) in [
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2\
             73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
        ),
        (
            "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
            "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a\
             571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
        ),
        (
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d\
             39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
        ),
    ] {
        let (key, plain) = (key(hex), hex::decode(PLAIN).unwrap());
        let result = key.seal(&plain);
        let sealed = hex::decode(sealed).unwrap();
        // What is beyond the vector is the block of padding.
        assert_eq!(result[..sealed.len()], sealed);
        assert_eq!(result.len(), sealed.len() + 16);
        assert_eq!(key.open(&result).unwrap(), plain);
    }
}

#[test]
fn every_length_survives_the_way_there_and_back() {
    let key = key("2b7e151628aed2a6abf7158809cf4f3c");
    for length in 0..64 {
        let text = vec![b'x'; length];
        assert_eq!(key.open(&key.seal(&text)).unwrap(), text);
    }
}

#[test]
fn frames_that_are_no_whole_blocks_do_not_open() {
    let key = key("2b7e151628aed2a6abf7158809cf4f3c");
    for length in [0, 1, 15, 17, 33] {
        assert_eq!(key.open(&vec![0; length]), Err(Error::Decrypt));
    }
}

#[test]
fn lengths_that_aes_does_not_have_are_refused() {
    let mut rng = StdRng::seed_from_u64(1);
    for bytes in [0, 8, 15, 31, 33, 64] {
        assert_eq!(
            SessionKey::from_parts(&vec![0; bytes], [0; 16]),
            Err(Error::KeySize { bytes })
        );
        assert_eq!(
            SessionKey::generate(&mut rng, bytes, [0; 16]),
            Err(Error::KeySize { bytes })
        );
    }
}

#[test]
fn debug_shows_neither_key_nor_vector() {
    let key = key("2b7e151628aed2a6abf7158809cf4f3c");
    assert_eq!(format!("{key:?}"), "SessionKey(AES-128)");
}
