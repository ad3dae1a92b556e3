//! Any bytes are a header list or nothing, and a list survives the crossing.

use host::{decode_pairs, EncodedPairs};

/// Any bytes.
pub fn pairs(data: &[u8]) {
    if let Some(pairs) = decode_pairs(data) {
        let again = EncodedPairs::new(&pairs);
        assert_eq!(decode_pairs(again.as_bytes()), Some(pairs));
    }
}
