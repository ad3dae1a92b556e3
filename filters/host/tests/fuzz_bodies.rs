//! The body of the fuzz target, run on chance inputs by a stable compiler.
#![allow(unreachable_pub, missing_docs)]

#[path = "../../fuzz/bodies/pairs.rs"]
mod pairs;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pairs(data in prop::collection::vec(prop_oneof![3 => 0..4u8, 1 => any::<u8>()], 0..120)) {
        pairs::pairs(&data);
    }
}
