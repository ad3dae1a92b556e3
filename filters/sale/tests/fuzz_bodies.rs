//! The bodies of the fuzz targets, run on chance inputs by a stable compiler.
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

#[path = "../../fuzz/bodies/config.rs"]
mod config;
#[path = "../../fuzz/bodies/cookie.rs"]
mod cookie;

use proptest::prelude::*;

const DOCUMENT: &[u8] = include_bytes!("../../../tests/contract/flash-sale/full.json");

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cookies(data in prop::collection::vec(prop_oneof![3 => Just(0u8), 1 => any::<u8>()], 0..200)) {
        cookie::cookie(&data);
    }

    #[test]
    fn documents(at in any::<prop::sample::Index>(), put in "[\\[\\]{}\",:a-z0-9 .-]{0,6}", taken in 0usize..6) {
        let mut document = DOCUMENT.to_vec();
        let at = at.index(document.len());
        let end = (at + taken).min(document.len());
        document.splice(at..end, put.bytes());
        config::config(&document);
    }
}
