//! How far bytes go on that nobody has to look at one by one: eight are tested at a time.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);

/// How many bytes of a JSON string stand for themselves: up to a quote, a backslash or a control
/// character.
pub(super) fn plain(bytes: &[u8]) -> usize {
    run(
        bytes,
        |word| below(word, 0x20) | equal(word, b'"') | equal(word, b'\\'),
        |byte| byte < 0x20 || byte == b'"' || byte == b'\\',
    )
}

/// How many bytes there are before a line end, CR or LF.
pub(super) fn line(bytes: &[u8]) -> usize {
    run(
        bytes,
        |word| equal(word, b'\n') | equal(word, b'\r'),
        |byte| byte == b'\n' || byte == b'\r',
    )
}

/// How many digits there are.
pub(super) fn digits(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len())
}

/// Cuts after so many bytes.
pub(super) fn cut(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

/// `in_word` marks the top bits of the bytes that end the run. It may mark bytes after the first
/// one by mistake.
fn run(bytes: &[u8], in_word: impl Fn(u64) -> u64, is_end: impl Fn(u8) -> bool) -> usize {
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk() {
        let ends = in_word(u64::from_le_bytes(*word));
        if ends != 0 {
            return bytes.len() - rest.len() + ends.trailing_zeros() as usize / 8;
        }
        rest = after;
    }
    let left = rest.iter().position(|byte| is_end(*byte)).unwrap_or(rest.len());
    bytes.len() - rest.len() + left
}

/// Bytes less than `bound`, which is at most 128. A byte that is marked borrows from the next,
/// hence the mistakes.
fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(bound)) & !word & TOPS
}

fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near_the_ends() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            8 => any::<u8>().prop_map(|byte| byte | 0x80),
            8 => prop::sample::select(&b"az !#[]\x7f"[..]),
            1 => prop::sample::select(&b"\"\\\0\x1f\n\r"[..]),
        ];
        prop::collection::vec(byte, 0..40)
    }

    proptest! {
        #[test]
        fn eight_at_a_time_find_what_one_at_a_time_finds(bytes in near_the_ends()) {
            let end = |ends: fn(u8) -> bool| {
                bytes.iter().position(|byte| ends(*byte)).unwrap_or(bytes.len())
            };
            prop_assert_eq!(plain(&bytes), end(|byte| byte < 0x20 || b"\"\\".contains(&byte)));
            prop_assert_eq!(line(&bytes), end(|byte| b"\n\r".contains(&byte)));
        }
    }
}
