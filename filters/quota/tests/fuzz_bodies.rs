//! The bodies of the fuzz targets, run on chance inputs by a stable compiler.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, unreachable_pub, missing_docs)]

#[path = "../../fuzz/bodies/quota_config.rs"]
mod quota_config;
#[path = "../../fuzz/bodies/usage.rs"]
mod usage;

use proptest::prelude::*;

const DOCUMENT: &[u8] =
    br#" {"usage": {"total_tokens": 217, "d\u00e9tails": [1.5e1, {}]}, "a": [-0.5, "x\n", null]} "#;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn usage_in_any_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        usage::usage(&data);
    }

    #[test]
    fn usage_in_scraps(cut in any::<u8>(), scraps in r#"([\[\]{}:, "\\\r\n0-]|[1-9.eE+]{1,4}|null|"a":|\{"usage":|\\u[0-9a-f]{4}){0,12}"#) {
        usage::usage(&[&[cut], scraps.as_bytes()].concat());
    }

    #[test]
    fn usage_in_damaged_documents(cut in any::<u8>(), at in any::<prop::sample::Index>(), put in "[\\[\\]{}\",:a-z0-9 .\\\\-]{0,3}", taken in 0usize..4) {
        let mut document = DOCUMENT.to_vec();
        let at = at.index(document.len());
        let end = (at + taken).min(document.len());
        document.splice(at..end, put.bytes());
        document.insert(0, cut);
        usage::usage(&document);
    }

    #[test]
    fn usage_in_events(cut in any::<u8>(), lines in "((data|data:|data: |:|id:)([0-9]{0,3}|\\{\"a\": ?[0-9]{1,3}\\}|\\[DONE\\])(\r|\n|\r\n){1,2}){0,8}") {
        usage::usage(&[&[cut], lines.as_bytes()].concat());
    }
}

const PARAMETERS: &[u8] = include_bytes!("../../../tests/contract/quota/full.json");

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parameters(at in any::<prop::sample::Index>(), put in "[\\[\\]{}\",:a-z0-9 .-]{0,6}", taken in 0usize..6) {
        let mut document = PARAMETERS.to_vec();
        let at = at.index(document.len());
        let end = (at + taken).min(document.len());
        document.splice(at..end, put.bytes());
        quota_config::quota_config(&document);
    }
}
