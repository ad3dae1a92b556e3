//! An incremental HTTP/1.1 response parser: takes the bytes as they come, in pieces of any size.
//!
//! It understands what a proxy may send (RFC 9112): a length, chunks, or a body that ends with the
//! connection; interim answers; answers without a body. It keeps only what was asked for.

use memchr::{memchr, memmem};

/// A response head may have this many bytes at most.
const MAX_HEAD: usize = 64 * 1024;
/// A line between chunks may have this many bytes at most.
const MAX_LINE: usize = 4 * 1024;

/// What to keep of each answer.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Names of headers whose values are kept, in lower case.
    pub headers: Vec<String>,
    /// Hash the body.
    pub hash: bool,
    /// Keep the body.
    pub body: bool,
    /// A longer body is an error.
    pub max_body: u64,
    /// Answers have no body whatever they say (HEAD).
    pub head_only: bool,
}

/// Why an answer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Not HTTP/1.x as specified.
    Malformed,
    /// Longer than allowed.
    TooLong,
}

/// One answer, complete when the parser says so.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The server closes the connection after it.
    pub close: bool,
    /// Length of the body, without chunk framing.
    pub body_length: u64,
    /// FNV-1a, 64 bits, of the body, if wanted.
    pub body_hash: u64,
    /// The wanted headers that were there: index in [`Wanted::headers`], value.
    pub headers: Vec<(usize, Vec<u8>)>,
    /// The body, if wanted.
    pub body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailer,
    UntilClose,
    Done,
}

/// What the end of the connection means for the answer under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtEnd {
    /// It is complete: its body ends with the connection.
    Complete,
    /// Not one byte of it had come.
    Nothing,
    /// It is cut off.
    Short,
}

/// Parses one answer after the other.
pub struct Parser {
    state: State,
    /// The part of a head or line that came so far.
    held: Vec<u8>,
    /// The answer under way, or the last complete one.
    pub answer: Answer,
}

impl Default for Parser {
    fn default() -> Self {
        Self { state: State::Head, held: Vec::new(), answer: Answer::default() }
    }
}

impl Parser {
    /// Makes ready for the next answer.
    pub fn reset(&mut self) {
        self.state = State::Head;
        self.held.clear();
        self.clear_answer();
    }

    fn clear_answer(&mut self) {
        let Answer { status, close, body_length, body_hash, headers, body } = &mut self.answer;
        (*status, *close, *body_length, *body_hash) = (0, false, 0, FNV_START);
        headers.clear();
        body.clear();
    }

    /// Takes bytes. Returns how many of them belong to this answer, and whether it is complete;
    /// bytes are only left over when it is.
    ///
    /// # Errors
    /// The answer is not HTTP/1.x, or longer than allowed; the connection is of no more use.
    pub fn feed(&mut self, input: &[u8], wanted: &Wanted) -> Result<(usize, bool), Broken> {
        let mut rest = input;
        while self.state != State::Done {
            if rest.is_empty() {
                return Ok((input.len(), false));
            }
            match self.state {
                State::Head => self.head(&mut rest, wanted)?,
                State::Length(left) => {
                    let left = left - self.body(&mut rest, left, wanted)?;
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                }
                State::UntilClose => {
                    self.body(&mut rest, u64::MAX, wanted)?;
                }
                State::ChunkSize => {
                    if let Some(line) = self.line(&mut rest)? {
                        let size = chunk_size(&line)?;
                        self.state =
                            if size == 0 { State::Trailer } else { State::ChunkData(size) };
                    }
                }
                State::ChunkData(left) => {
                    let left = left - self.body(&mut rest, left, wanted)?;
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                }
                State::ChunkEnd => {
                    if let Some(line) = self.line(&mut rest)? {
                        if !line.is_empty() {
                            return Err(Broken::Malformed);
                        }
                        self.state = State::ChunkSize;
                    }
                }
                State::Trailer => {
                    if self.line(&mut rest)?.is_some_and(|line| line.is_empty()) {
                        self.state = State::Done;
                    }
                }
                State::Done => {}
            }
        }
        Ok((input.len() - rest.len(), true))
    }

    /// The connection has ended.
    #[must_use]
    pub fn end(&self) -> AtEnd {
        match self.state {
            State::UntilClose | State::Done => AtEnd::Complete,
            State::Head if self.held.is_empty() => AtEnd::Nothing,
            _ => AtEnd::Short,
        }
    }

    fn head(&mut self, rest: &mut &[u8], wanted: &Wanted) -> Result<(), Broken> {
        if self.held.is_empty() {
            // nearly always: the whole head is there at once
            if let Some(end) = memmem::find(rest, b"\r\n\r\n") {
                let (head, after) = rest.split_at(end + 4);
                *rest = after;
                return self.understand(head, wanted);
            }
        }
        let before = self.held.len();
        self.held.extend_from_slice(rest);
        let from = before.saturating_sub(3);
        let Some(end) = self.held.get(from..).and_then(|h| memmem::find(h, b"\r\n\r\n")) else {
            *rest = &[];
            return if self.held.len() > MAX_HEAD { Err(Broken::TooLong) } else { Ok(()) };
        };
        let end = from + end + 4;
        *rest = rest.get(end - before..).unwrap_or_default();
        let mut held = std::mem::take(&mut self.held);
        held.truncate(end);
        let result = self.understand(&held, wanted);
        held.clear();
        self.held = held;
        result
    }

    fn understand(&mut self, head: &[u8], wanted: &Wanted) -> Result<(), Broken> {
        if head.len() > MAX_HEAD {
            return Err(Broken::TooLong);
        }
        let mut lines = Lines(head);
        let (status, mut close) = status_line(lines.next().unwrap_or_default())?;
        let (mut length, mut chunked) = (None, false);
        self.clear_answer();
        for line in lines {
            if line.is_empty() {
                break;
            }
            let (name, value) = field(line)?;
            if name.eq_ignore_ascii_case(b"content-length") {
                length = Some(number(value, 10)?);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                chunked = value.eq_ignore_ascii_case(b"chunked");
                if !chunked {
                    return Err(Broken::Malformed);
                }
            } else if name.eq_ignore_ascii_case(b"connection") {
                for token in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                    close = (close || token.eq_ignore_ascii_case(b"close"))
                        && !token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            if let Some(i) =
                wanted.headers.iter().position(|w| name.eq_ignore_ascii_case(w.as_bytes()))
            {
                self.answer.headers.push((i, value.to_vec()));
            }
        }
        if (100..200).contains(&status) {
            // an interim answer: the real one follows. 101 would be another protocol.
            return if status == 101 { Err(Broken::Malformed) } else { Ok(()) };
        }
        self.answer.status = status;
        self.state = if wanted.head_only || status == 204 || status == 304 {
            State::Done
        } else if chunked {
            State::ChunkSize
        } else {
            match length {
                Some(0) => State::Done,
                Some(n) if n > wanted.max_body => return Err(Broken::TooLong),
                Some(n) => State::Length(n),
                None => {
                    close = true;
                    State::UntilClose
                }
            }
        };
        self.answer.close = close;
        Ok(())
    }

    /// Takes up to `most` bytes of body, and tells how many it took.
    fn body(&mut self, rest: &mut &[u8], most: u64, wanted: &Wanted) -> Result<u64, Broken> {
        let n = usize::try_from(most).unwrap_or(usize::MAX).min(rest.len());
        let (bytes, after) = rest.split_at(n);
        *rest = after;
        self.answer.body_length += n as u64;
        if self.answer.body_length > wanted.max_body {
            return Err(Broken::TooLong);
        }
        if wanted.hash {
            self.answer.body_hash = fnv1a(self.answer.body_hash, bytes);
        }
        if wanted.body {
            self.answer.body.extend_from_slice(bytes);
        }
        Ok(n as u64)
    }

    /// The next line without its end, once it is there.
    fn line(&mut self, rest: &mut &[u8]) -> Result<Option<Vec<u8>>, Broken> {
        let end = memchr(b'\n', rest).map_or(rest.len(), |i| i + 1);
        let (bytes, after) = rest.split_at(end);
        *rest = after;
        self.held.extend_from_slice(bytes);
        if self.held.len() > MAX_LINE {
            return Err(Broken::TooLong);
        }
        if self.held.last() != Some(&b'\n') {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.held);
        line.pop();
        if line.pop() == Some(b'\r') {
            Ok(Some(line))
        } else {
            Err(Broken::Malformed)
        }
    }
}

/// The lines of a head, each without its CR LF.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr(b'\n', self.0)?;
        let (line, after) = self.0.split_at(end + 1);
        self.0 = after;
        Some(line.strip_suffix(b"\r\n").unwrap_or(line))
    }
}

/// Status code, and whether this version of HTTP closes unless told otherwise.
fn status_line(line: &[u8]) -> Result<(u16, bool), Broken> {
    let close = match line.get(..9) {
        Some(b"HTTP/1.1 ") => false,
        Some(b"HTTP/1.0 ") => true,
        _ => return Err(Broken::Malformed),
    };
    let code = line.get(9..12).ok_or(Broken::Malformed)?;
    if !matches!(line.get(12), None | Some(b' ')) {
        return Err(Broken::Malformed);
    }
    match u16::try_from(number(code, 10)?) {
        Ok(code) if code >= 100 => Ok((code, close)),
        _ => Err(Broken::Malformed),
    }
}

fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Broken> {
    match memchr(b':', line) {
        Some(at) if at > 0 => {
            let (name, value) = line.split_at(at);
            Ok((name, value.get(1..).unwrap_or_default().trim_ascii()))
        }
        _ => Err(Broken::Malformed),
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, Broken> {
    let size = line.split(|&b| b == b';').next().unwrap_or_default();
    number(size.trim_ascii(), 16)
}

fn number(digits: &[u8], radix: u32) -> Result<u64, Broken> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Broken::Malformed); // a sign, which from_str_radix would take
    }
    let text = std::str::from_utf8(digits).map_err(|_| Broken::Malformed)?;
    u64::from_str_radix(text, radix).map_err(|_| Broken::Malformed)
}

/// Start value of FNV-1a (64 bits).
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Goes on with an FNV-1a hash: enough to tell answers apart, and simple to do anywhere else.
fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted() -> Wanted {
        Wanted {
            headers: vec!["set-cookie".into(), "retry-after".into()],
            hash: true,
            body: true,
            max_body: 1000,
            head_only: false,
        }
    }

    /// Feeds the pieces; the answer, and what was left over of the piece that completed it.
    fn parse(pieces: &[&[u8]], wanted: &Wanted) -> Result<Option<(Answer, Vec<u8>)>, Broken> {
        let mut parser = Parser::default();
        for (i, piece) in pieces.iter().enumerate() {
            let (used, done) = parser.feed(piece, wanted)?;
            if done {
                let mut rest = piece[used..].to_vec();
                rest.extend(pieces[i + 1..].concat());
                return Ok(Some((parser.answer, rest)));
            }
            assert_eq!(used, piece.len());
        }
        if parser.end() == AtEnd::Complete {
            return Ok(Some((parser.answer, Vec::new())));
        }
        Ok(None)
    }

    const SAMPLES: [(&[u8], u16, &[u8]); 8] = [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nset-cookie: a=b\r\nSet-Cookie: c\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 503, b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n", 200, b"hello0123456789"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nsome: trailer\r\n\r\n", 200, b"x"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 410 Gone\r\ncontent-length: 2\r\n\r\nno", 410, b"no"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n\r\n", 304, b""),
        (b"HTTP/1.0 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n", 302, b""),
    ];

    #[test]
    fn split_at_every_byte() {
        for (bytes, status, body) in SAMPLES {
            let whole = parse(&[bytes], &wanted()).unwrap().unwrap();
            assert_eq!((whole.0.status, &whole.0.body[..], &whole.1[..]), (status, body, &b""[..]));
            for at in 0..bytes.len() {
                let (a, b) = bytes.split_at(at);
                assert_eq!(parse(&[a, b], &wanted()).unwrap().unwrap(), whole, "split at {at}");
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(parse(&single, &wanted()).unwrap().unwrap(), whole);
        }
    }

    #[test]
    fn cut_at_every_byte_is_never_complete() {
        for (bytes, ..) in SAMPLES {
            for at in 0..bytes.len() {
                assert_eq!(parse(&[&bytes[..at]], &wanted()).unwrap(), None, "cut at {at}");
            }
        }
    }

    #[test]
    fn keeps_what_was_asked_for() {
        let (answer, _) = parse(&[SAMPLES[0].0], &wanted()).unwrap().unwrap();
        assert_eq!(answer.headers, [(0, b"a=b".to_vec()), (0, b"c".to_vec())]);
        assert_eq!(answer.body_hash, 0xa430_d846_80aa_bd0b, "FNV-1a of hello");
        assert!(!answer.close);
        let nothing = Wanted { max_body: 1000, ..Wanted::default() };
        let (answer, _) = parse(&[SAMPLES[0].0], &nothing).unwrap().unwrap();
        assert_eq!((answer.headers.len(), answer.body.len(), answer.body_length), (0, 0, 5));
    }

    #[test]
    fn leaves_the_next_answer_alone() {
        let two = [SAMPLES[2].0, SAMPLES[0].0].concat();
        let (answer, rest) = parse(&[&two], &wanted()).unwrap().unwrap();
        assert_eq!((answer.status, &rest[..]), (200, SAMPLES[0].0));
    }

    #[test]
    fn a_body_until_the_connection_ends() {
        let bytes = b"HTTP/1.1 200 OK\r\n\r\nall of this";
        let (answer, _) = parse(&[bytes], &wanted()).unwrap().unwrap();
        assert_eq!((answer.close, &answer.body[..]), (true, &b"all of this"[..]));
    }

    #[test]
    fn closing() {
        for (head, close) in [
            ("HTTP/1.1 200 OK\r\n", false),
            ("HTTP/1.0 200 OK\r\n", true),
            ("HTTP/1.1 200 OK\r\nconnection: foo, Close\r\n", true),
            ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n", false),
        ] {
            let text = format!("{head}content-length: 0\r\n\r\n");
            let (answer, _) = parse(&[text.as_bytes()], &wanted()).unwrap().unwrap();
            assert_eq!(answer.close, close, "{head}");
        }
        let head_only = Wanted { head_only: true, ..wanted() };
        let (answer, rest) = parse(&[SAMPLES[0].0], &head_only).unwrap().unwrap();
        assert_eq!((answer.status, &rest[..]), (200, &b"hello"[..]));
    }

    #[test]
    fn malformed() {
        for text in [
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 20\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 099 OK\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\n",
        ] {
            assert_eq!(parse(&[text.as_bytes()], &wanted()), Err(Broken::Malformed), "{text:?}");
        }
    }

    #[test]
    fn bounds() {
        let endless_head = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'x'; MAX_HEAD]].concat();
        let endless_line = [
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
            vec![b'0'; MAX_LINE + 1],
        ]
        .concat();
        let long = b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_vec();
        let chunks = [
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n".to_vec(),
            vec![b'x'; 1001],
        ]
        .concat();
        for bytes in [endless_head, endless_line, long, chunks] {
            assert_eq!(parse(&[&bytes], &wanted()), Err(Broken::TooLong));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces(bytes in prop::collection::vec(any::<u8>(), 0..400), size in 1_usize..40) {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            let _ = parse(&pieces, &wanted());
        }

        #[test]
        fn near_misses(sample in 0_usize..8, at in 0_usize..200, byte: u8, size in 1_usize..40) {
            let mut bytes = SAMPLES[sample].0.to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(parse(&pieces, &wanted()), parse(&[&bytes], &wanted()));
        }

        #[test]
        fn any_chunks(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 0..8), size in 1_usize..40) {
            let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            for chunk in &chunks {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
            }
            bytes.extend(b"0\r\n\r\n");
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            let (answer, rest) = parse(&pieces, &wanted()).unwrap().unwrap();
            prop_assert_eq!(answer.body, chunks.concat());
            prop_assert!(rest.is_empty());
        }
    }
}
