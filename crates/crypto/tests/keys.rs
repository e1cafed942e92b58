//! RSA keys in the spellings of the field. The files in `keys/` were written by openssl and
//! guard nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail by panicking"
)]

use gorgone_crypto::{Error, PrivateKey, PublicKey};
use rand::SeedableRng;
use rand::rngs::StdRng;

const PKCS8: &str = include_str!("keys/private-pkcs8.pem");
const PKCS1: &str = include_str!("keys/private-pkcs1.pem");
const ENCRYPTED: &str = include_str!("keys/private-encrypted.pem");
const SPKI: &str = include_str!("keys/public-spki.pem");
const PUBLIC_PKCS1: &str = include_str!("keys/public-pkcs1.pem");
const SHORT: &str = include_str!("keys/public-768.pem");
const EC: &str = include_str!("keys/public-ec.pem");

/// Computed from openssl's modulus with another program.
const THUMBPRINT: &str = "52Lvog72bHAxdhoEyCmbJGXM4z20_IAJuu6xxUjC2Wk";

fn public(text: &str) -> PublicKey {
    PublicKey::from_pem(text).unwrap()
}

#[test]
fn public_key_is_read_in_both_bodies_under_either_label() {
    let swap = |text: &str, from: &str, to: &str| text.replace(from, to);
    let spellings = [
        SPKI.to_owned(),
        PUBLIC_PKCS1.to_owned(),
        swap(SPKI, "PUBLIC KEY", "RSA PUBLIC KEY"),
        swap(PUBLIC_PKCS1, "RSA PUBLIC KEY", "PUBLIC KEY"),
        swap(SPKI, "\n", "\\n"),
        swap(SPKI, "\n", "\r\n"),
        format!("a certificate's comment\n{PUBLIC_PKCS1}"),
    ];
    for spelling in spellings {
        let key = public(&spelling);
        assert_eq!(key.thumbprint().as_str(), THUMBPRINT, "{spelling}");
    }
}

#[test]
fn private_key_is_read_in_both_bodies_under_either_label() {
    for spelling in [
        PKCS8.to_owned(),
        PKCS1.to_owned(),
        PKCS8.replace("PRIVATE KEY", "RSA PRIVATE KEY"),
        PKCS1.replace("RSA PRIVATE KEY", "PRIVATE KEY"),
    ] {
        let key = PrivateKey::from_pem(&spelling).unwrap();
        assert_eq!(key.public().thumbprint().as_str(), THUMBPRINT);
    }
}

#[test]
fn what_is_no_usable_key_is_refused_by_name() {
    let public = |text: &str| PublicKey::from_pem(text).unwrap_err();
    let private = |text: &str| PrivateKey::from_pem(text).unwrap_err();
    assert_eq!(public(""), Error::NotPem);
    assert_eq!(public("-----BEGIN PUBLIC KEY-----"), Error::NotPem);
    assert_eq!(public(&SPKI.replace("MI", "!!")), Error::NotPem);
    assert_eq!(public(EC), Error::NotPublicKey);
    assert_eq!(public(PKCS8), Error::NotPublicKey);
    assert_eq!(public(SHORT), Error::NotPublicKey);
    assert_eq!(private(SPKI), Error::NotPrivateKey);
    assert_eq!(private(ENCRYPTED), Error::Encrypted);
    let long = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
        "A".repeat(16_000)
    );
    assert_eq!(public(&long), Error::RsaSize { bits: 96_000 });
}

#[test]
fn written_keys_are_read_back() {
    let key = PrivateKey::from_pem(PKCS1).unwrap();
    assert_eq!(key.to_pem().unwrap(), PKCS8);
    assert_eq!(key.public().to_pem().unwrap(), SPKI);
}

#[test]
fn a_generated_key_decrypts_what_its_public_half_encrypted() {
    let mut rng = StdRng::seed_from_u64(1);
    let key = PrivateKey::generate(&mut rng, 2048).unwrap();
    assert_eq!(key.public().bits(), 2048);
    let key = PrivateKey::from_pem(&key.to_pem().unwrap()).unwrap();
    let sealed = public(&key.public().to_pem().unwrap())
        .encrypt(&mut rng, b"HELO")
        .unwrap();
    assert_eq!(key.decrypt(&mut rng, &sealed).unwrap(), b"HELO");
}

#[test]
fn keys_are_not_generated_too_short_or_too_long() {
    let mut rng = StdRng::seed_from_u64(1);
    for bits in [0, 1024, 2047, 8193, usize::MAX] {
        let error = PrivateKey::generate(&mut rng, bits).unwrap_err();
        assert_eq!(error, Error::Generate { bits });
    }
}

#[test]
fn damaged_ciphertext_never_gives_the_text_and_never_says_why() {
    let mut rng = StdRng::seed_from_u64(1);
    let key = PrivateKey::from_pem(PKCS8).unwrap();
    let sealed = key.public().encrypt(&mut rng, b"HELO").unwrap();
    for place in [0, 1, 64, sealed.len() - 1] {
        let mut damaged = sealed.clone();
        damaged[place] ^= 1;
        assert_ne!(key.decrypt(&mut rng, &damaged), Ok(b"HELO".to_vec()));
    }
    for wrong in [&sealed[1..], &[0; 1000][..], &[], &[0xff; 128][..]] {
        assert_eq!(key.decrypt(&mut rng, wrong), Err(Error::Decrypt));
    }
}

#[test]
fn a_text_that_is_too_long_for_the_key_is_refused() {
    let mut rng = StdRng::seed_from_u64(1);
    assert!(public(SPKI).encrypt(&mut rng, &[7; 117]).is_ok());
    assert_eq!(
        public(SPKI).encrypt(&mut rng, &[7; 118]),
        Err(Error::Encrypt)
    );
}

#[test]
fn debug_shows_no_private_key() {
    let shown = format!("{:?}", PrivateKey::from_pem(PKCS8).unwrap());
    assert_eq!(
        shown,
        format!("PrivateKey(of PublicKey(1024 bits, {THUMBPRINT}))")
    );
}
