//! The reader of replies takes any bytes, and a cut changes no verdict.

use link::resp::{Decoder, ProtocolError};
use link::Value;

/// The first byte tells where to cut the rest.
pub fn resp(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let (head, tail) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let whole = read(&[bytes]);
    assert_eq!(read(&[head, tail]), whole);
    assert_eq!(read(&bytes.chunks(1).collect::<Vec<_>>()), whole);
}

fn read(pieces: &[&[u8]]) -> (String, Option<ProtocolError>) {
    let mut decoder = Decoder::default();
    let mut values: Vec<Value> = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => return (format!("{values:?}"), Some(error)),
            }
        }
    }
    // as text, since not every number equals itself
    (format!("{values:?}"), None)
}
