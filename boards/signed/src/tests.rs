//! Signatures compared with those of OpenSSL, and refused updates.

extern crate std;

use std::{format, string::ToString as _, vec::Vec};

use super::*;

/// The bytes 0 to 31.
fn secret() -> [u8; KEY_BYTES] {
    core::array::from_fn(|at| at as u8)
}

/// Its public half, by OpenSSL through Python's `cryptography`.
const PUBLIC: &str = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";

/// Of the bytes that the documentation of this crate lists, for [`update`]; by the same.
const SIGNATURE: &str = "12224ceb2818cef65541d4b95d272928e8337eab78650102a417db60ede6a5adafccea3664a52d0fc76855d1647bb708c9231e33d9411a6fcb7025e868e23901";

fn blob() -> Vec<u8> {
    (0..1000).map(|at| (at * 7) as u8).collect()
}

fn update(digest: &[u8; DIGEST_BYTES]) -> Update<'_> {
    Update {
        product: "mps2-an386",
        version: 0x0102_0304,
        length: 1000,
        digest,
    }
}

fn hex(bytes: &[u8]) -> std::string::String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn keys_and_signatures_are_those_of_another_implementation() {
    assert_eq!(hex(&public_key(&secret())), PUBLIC);
    let digest = digest(&blob());
    let signature = sign(&secret(), &update(&digest)).expect("a short name");
    assert_eq!(hex(&signature), SIGNATURE);
    assert!(verify(&public_key(&secret()), &update(&digest), &signature));
}

#[test]
fn a_signature_is_good_for_nothing_else() {
    let (blob, secret) = (blob(), secret());
    let key = public_key(&secret);
    let digest = digest(&blob);
    let signature = sign(&secret, &update(&digest)).expect("a short name");
    for bit in 0..8 * SIGNATURE_BYTES {
        let mut other = signature;
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(!verify(&key, &update(&digest), &other), "bit {bit}");
    }
    for length in 0..SIGNATURE_BYTES {
        assert!(!verify(&key, &update(&digest), &signature[..length]));
    }
    assert!(!verify(
        &key,
        &update(&digest),
        &[signature, signature].concat()
    ));
    for bit in 0..8 * DIGEST_BYTES {
        let mut other = digest;
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(!verify(&key, &update(&other), &signature), "bit {bit}");
    }
    for bit in 0..32 {
        let mut other = update(&digest);
        other.version ^= 1 << bit;
        assert!(!verify(&key, &other, &signature), "version, bit {bit}");
        let mut other = update(&digest);
        other.length ^= 1 << bit;
        assert!(!verify(&key, &other, &signature), "length, bit {bit}");
    }
    for product in [
        "",
        "mps2-an385",
        "mps2-an38",
        "mps2-an3866",
        &"x".repeat(65),
    ] {
        let other = Update {
            product,
            ..update(&digest)
        };
        assert!(!verify(&key, &other, &signature), "{product}");
    }
    let mut other = secret;
    other[0] ^= 1;
    assert!(!verify(&public_key(&other), &update(&digest), &signature));
    // No point of the curve, and one of small order.
    for byte in [0, 1, 0xFF] {
        assert!(!verify(&[byte; KEY_BYTES], &update(&digest), &signature));
        assert!(!verify(&[byte; KEY_BYTES], &update(&digest), &[0; 64]));
    }
    assert!(!verify(&key, &update(&digest), &[0; 64]));
}

/// The second half of a signature is a number below the group's order; adding the order to it makes no second signature.
#[test]
fn a_signature_cannot_be_written_in_another_way() {
    // 2^252 + 27742317777372353535851937790883648493, little-endian.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let digest = digest(&blob());
    let mut signature = sign(&secret(), &update(&digest)).expect("a short name");
    let mut carry = 0;
    for (place, add) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*place) + u16::from(add) + carry;
        (*place, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(carry, 0);
    assert!(!verify(
        &public_key(&secret()),
        &update(&digest),
        &signature
    ));
}

#[test]
fn a_product_may_have_a_name_of_64_bytes() {
    let digest = digest(&[]);
    for (length, fits) in [(0, true), (64, true), (65, false)] {
        let product = "x".repeat(length);
        let update = Update {
            product: &product,
            ..update(&digest)
        };
        let signature = sign(&secret(), &update);
        assert_eq!(signature.is_some(), fits);
        if let Some(signature) = signature {
            assert!(verify(&public_key(&secret()), &update, &signature));
        }
    }
}

#[test]
fn files_of_keys_are_read_as_they_are_written() {
    let (secret, public) = (secret(), public_key(&secret()));
    let (secret_text, public_text) = (
        show_secret_key(&secret).to_string(),
        show_public_key(&public).to_string(),
    );
    assert_eq!(public_text, format!("fewbit public update key\n{PUBLIC}\n"));
    assert_eq!(parse_secret_key(&secret_text), Ok(secret));
    assert_eq!(parse_public_key(&public_text), Ok(public));
    assert_eq!(parse_public_key(&secret_text), Err(KeyError::Secret));
    assert_eq!(parse_secret_key(&public_text), Err(KeyError::Public));
    let wrong = |text: &str| parse_public_key(text).expect_err("no key");
    assert!(matches!(wrong(""), KeyError::NoKey { .. }));
    assert!(matches!(wrong("ssh-ed25519 AAAA"), KeyError::NoKey { .. }));
    for text in [
        public_text
            .trim_end()
            .trim_end_matches(|c: char| c.is_ascii_hexdigit()),
        &public_text[..public_text.len() - 3],
        &format!("{}00\n", public_text.trim_end()),
        &format!("{public_text}\n"),
        &public_text.replace("03", "0g"),
        &public_text.replace("03", "+3"),
    ] {
        assert_eq!(wrong(text), KeyError::Digits, "{text}");
    }
    let zeros = format!("fewbit public update key\n{}\n", "00".repeat(32));
    assert_eq!(wrong(&zeros), KeyError::Weak);
}
