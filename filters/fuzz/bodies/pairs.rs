//! Any bytes are a header list or nothing, a list survives the crossing, and its headers are found in it.

use host::{decode_pairs, EncodedPairs, HeaderList};

/// Any bytes.
pub fn pairs(data: &[u8]) {
    let list = HeaderList::from(data.to_vec());
    let Some(pairs) = decode_pairs(data) else {
        let _ = list.first("cookie");
        return;
    };
    let again = EncodedPairs::new(&pairs);
    assert_eq!(decode_pairs(again.as_bytes()).as_ref(), Some(&pairs));
    for (name, _) in pairs.iter().take(8) {
        let Ok(text) = std::str::from_utf8(name) else { continue };
        let first = pairs.iter().find(|(known, _)| known == name);
        assert_eq!(list.first(text), first.map(|(_, value)| &value[..]));
    }
}
