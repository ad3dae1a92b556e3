//! Any Cookie header is read without harm, and no pass verifies but one that was minted.

use identity::cookies;
use sale::keyring::Keyring;
use sale::pass::{mint, verify};

const NAME: &[u8] = b"sluice-pass";
const USER: [u8; 16] = [7; 16];

/// A header; its bytes also damage a pass that is good.
pub fn cookie(data: &[u8]) {
    let digits = [b'a'; 64];
    let fields: [(&[u8], &[u8]); 3] =
        [(b"identity", &digits), (b"version", b"3"), (b"key:3", &digits)];
    let ring = Keyring::parse(fields).unwrap().unwrap();
    let accepts = |header: &[u8]| {
        verify(&ring, "shop/laptop/1", &USER, 1_000, Some(1), cookies(header, NAME)).is_some()
    };
    let good = mint(&ring, "shop/laptop/1", &USER, 2_000, 1, 42).unwrap().into_bytes();
    // a cookie may stand anywhere in a header, and loses blanks and quotes at its edges
    let holds = |header: &[u8]| cookies(header, NAME).take(3).any(|value| value == good);
    assert_eq!(accepts(data), holds(data));
    let mut damaged = good.clone();
    for (byte, damage) in damaged.iter_mut().zip(data) {
        *byte ^= damage;
    }
    let header = [NAME, b"=", &damaged].concat();
    assert_eq!(accepts(&header), holds(&header));
}
