//! The bridge takes any bytes, and a cut changes nothing.

use redis_bridge::frames::{FrameError, Frames};

/// The first byte tells where to cut the rest.
pub fn frames(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else { return };
    let (head, tail) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let whole = strip(&[bytes]);
    assert_eq!(strip(&[head, tail]), whole);
    assert_eq!(strip(&bytes.chunks(1).collect::<Vec<_>>()), whole);
}

fn strip(pieces: &[&[u8]]) -> Result<Vec<u8>, FrameError> {
    let (mut frames, mut out) = (Frames::default(), Vec::new());
    for piece in pieces {
        frames.strip(piece, &mut out)?;
    }
    Ok(out)
}
