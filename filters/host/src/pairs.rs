//! Header lists in the form in which they cross between guest and host.
//!
//! A count, then the lengths of every name and value, then name and value each ended by a zero byte. All numbers are
//! 32 bits, little-endian.

/// Name and value of a header.
pub type Pair = (Vec<u8>, Vec<u8>);

/// A header list that is ready to cross. Make it once and use it for every answer that looks the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedPairs(Vec<u8>);

impl EncodedPairs {
    /// Encodes a list, in its order. A repeated name stays repeated.
    pub fn new<K: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(K, V)]) -> Self {
        let text: usize = pairs.iter().map(|(k, v)| k.as_ref().len() + v.as_ref().len() + 2).sum();
        let mut out = Vec::with_capacity(4 + 8 * pairs.len() + text);
        put_length(&mut out, pairs.len());
        for (name, value) in pairs {
            put_length(&mut out, name.as_ref().len());
            put_length(&mut out, value.as_ref().len());
        }
        for (name, value) in pairs {
            out.extend_from_slice(name.as_ref());
            out.push(0);
            out.extend_from_slice(value.as_ref());
            out.push(0);
        }
        Self(out)
    }

    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Default for EncodedPairs {
    fn default() -> Self {
        Self(vec![0; 4])
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&(length as u32).to_le_bytes());
}

/// Decodes a list; `None` when the bytes are not one.
pub fn decode_pairs(bytes: &[u8]) -> Option<Vec<Pair>> {
    let (count, mut lengths) = take_length(bytes)?;
    let mut text = lengths.get(count.checked_mul(8)?..)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_length, rest) = take_length(lengths)?;
        let (value_length, rest) = take_length(rest)?;
        lengths = rest;
        let name = take_text(&mut text, name_length)?;
        let value = take_text(&mut text, value_length)?;
        pairs.push((name, value));
    }
    Some(pairs)
}

/// A header list as it came, to find a few of its headers in: decoding all of them would cost more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderList(Vec<u8>);

impl From<Vec<u8>> for HeaderList {
    fn from(encoded: Vec<u8>) -> Self {
        Self(encoded)
    }
}

impl HeaderList {
    /// The first value of a header, whose name is in lower case. `None` also when the list cannot be read.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        let (count, mut lengths) = take_length(&self.0)?;
        let mut text = lengths.get(count.checked_mul(8)?..)?;
        for _ in 0..count {
            let (name_length, rest) = take_length(lengths)?;
            let (value_length, rest) = take_length(rest)?;
            lengths = rest;
            let (this, rest) = text.split_at_checked(name_length)?;
            let (value, rest) = rest.get(1..)?.split_at_checked(value_length)?;
            text = rest.get(1..)?;
            if this == name.as_bytes() {
                return Some(value);
            }
        }
        None
    }
}

fn take_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*head) as usize, rest))
}

fn take_text(text: &mut &[u8], length: usize) -> Option<Vec<u8>> {
    let taken = text.get(..length)?.to_vec();
    *text = text.get(length.checked_add(1)?..)?;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_list_survives_the_crossing(pairs: Vec<(Vec<u8>, Vec<u8>)>) {
            let encoded = EncodedPairs::new(&pairs);
            prop_assert_eq!(decode_pairs(encoded.as_bytes()), Some(pairs));
        }

        #[test]
        fn any_bytes_are_a_list_or_nothing(bytes: Vec<u8>) {
            let _ = decode_pairs(&bytes);
            let _ = HeaderList::from(bytes).first("cookie");
        }

        #[test]
        fn the_first_header_of_a_name_is_found(pairs in prop::collection::vec(("[a-c]{1,2}", "[a-z]{0,9}"), 0..9), name in "[a-c]{1,2}") {
            let list = HeaderList::from(EncodedPairs::new(&pairs).as_bytes().to_vec());
            let first = pairs.iter().find(|(known, _)| *known == name);
            prop_assert_eq!(list.first(&name), first.map(|(_, value)| value.as_bytes()));
        }

        #[test]
        fn a_cut_list_is_nothing(pairs in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 1..4), cut in any::<prop::sample::Index>()) {
            let encoded = EncodedPairs::new(&pairs);
            let at = cut.index(encoded.as_bytes().len());
            prop_assert_eq!(decode_pairs(&encoded.as_bytes()[..at]), None);
        }
    }

    #[test]
    fn an_empty_list_is_a_count_of_zero() {
        assert_eq!(EncodedPairs::default(), EncodedPairs::new::<&str, &str>(&[]));
    }
}
