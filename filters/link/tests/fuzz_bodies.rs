//! The bodies of the fuzz targets, run on chance inputs by a stable compiler.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::naive_bytecount,
    unreachable_pub,
    missing_docs
)]

#[path = "../../fuzz/bodies/interleavings.rs"]
mod interleavings;
#[path = "../../fuzz/bodies/resp.rs"]
mod resp;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replies(data in prop::collection::vec(any::<u8>(), 0..200)) {
        resp::resp(&data);
    }

    #[test]
    fn replies_that_look_like_some(data in "[\\x00-\\x20]([+:$*%~>|_#,(=!-][0-9a-z]{0,2}\r\n){0,12}") {
        resp::resp(data.as_bytes());
    }

    #[test]
    fn interleavings(programme in prop::collection::vec(any::<u8>(), 0..400)) {
        interleavings::interleavings(&programme);
    }
}
