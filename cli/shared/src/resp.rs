//! Owns the form of the Redis protocol (RESP2): commands as bytes, and bytes as replies.
//! Never waits for bytes, and takes no more of them than a reply of ours can have.

/// No reply that is asked for here is longer, with all that is in it.
pub(crate) const REPLY_BYTES_MAX: usize = 16 << 20;

/// How deep replies are nested: those of `XREAD` are four lists deep.
const DEPTH_MAX: usize = 6;

/// What is in one list.
const ITEMS_MAX: usize = 65_536;

/// A reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Reply {
    Bytes(Vec<u8>),
    Error(String),
    List(Vec<Self>),
    Nil,
    Number(i64),
    Status(String),
}

/// What comes is no reply, or none that is asked for here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unreadable;

/// Writes a command.
pub(crate) fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let line = |sign: u8, number: usize, out: &mut Vec<u8>| {
        out.push(sign);
        out.extend_from_slice(number.to_string().as_bytes());
        out.extend_from_slice(b"\r\n");
    };
    line(b'*', parts.len(), out);
    for part in parts {
        line(b'$', part.len(), out);
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

/// Reads a reply from the beginning of `bytes`, with its length; `None` while it is not all there.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<(Reply, usize)>, Unreadable> {
    let mut reader = Reader { bytes, at: 0 };
    match reader.reply(0) {
        Ok(reply) => Ok(Some((reply, reader.at))),
        Err(Stop::Short) if bytes.len() > REPLY_BYTES_MAX => Err(Unreadable),
        Err(Stop::Short) => Ok(None),
        Err(Stop::Unreadable) => Err(Unreadable),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

enum Stop {
    Short,
    Unreadable,
}

impl<'a> Reader<'a> {
    fn reply(&mut self, depth: usize) -> Result<Reply, Stop> {
        let line = self.line()?;
        let (&sign, rest) = line.split_first().ok_or(Stop::Unreadable)?;
        let text = || String::from_utf8_lossy(rest).into_owned();
        match sign {
            b'+' => Ok(Reply::Status(text())),
            b'-' => Ok(Reply::Error(text())),
            b':' => Ok(Reply::Number(number(rest)?)),
            b'$' => match length(rest, REPLY_BYTES_MAX)? {
                None => Ok(Reply::Nil),
                Some(len) => Ok(Reply::Bytes(self.bulk(len)?.to_vec())),
            },
            b'*' => match length(rest, ITEMS_MAX)? {
                None => Ok(Reply::Nil),
                Some(_) if depth >= DEPTH_MAX => Err(Stop::Unreadable),
                Some(count) => {
                    let mut items = Vec::new();
                    for _ in 0..count {
                        items.push(self.reply(depth + 1)?);
                    }
                    Ok(Reply::List(items))
                }
            },
            _ => Err(Stop::Unreadable),
        }
    }

    fn line(&mut self) -> Result<&'a [u8], Stop> {
        /// An error says what is wrong in one line.
        const LINE_MAX: usize = 4096;
        let rest = &self.bytes[self.at..];
        let looked = &rest[..rest.len().min(LINE_MAX)];
        match looked.windows(2).position(|pair| pair == b"\r\n") {
            Some(end) => {
                self.at += end + 2;
                Ok(&rest[..end])
            }
            None if looked.len() == LINE_MAX => Err(Stop::Unreadable),
            None => Err(Stop::Short),
        }
    }

    fn bulk(&mut self, len: usize) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let (bulk, rest) = rest.split_at_checked(len).ok_or(Stop::Short)?;
        match rest.split_at_checked(2) {
            None => Err(Stop::Short),
            Some((b"\r\n", _)) => {
                self.at += len + 2;
                Ok(bulk)
            }
            Some(_) => Err(Stop::Unreadable),
        }
    }
}

fn number(digits: &[u8]) -> Result<i64, Stop> {
    let digits = std::str::from_utf8(digits).map_err(|_| Stop::Unreadable)?;
    digits.parse().map_err(|_| Stop::Unreadable)
}

/// `None` for -1, which is how nothing is written.
fn length(digits: &[u8], max: usize) -> Result<Option<usize>, Stop> {
    match number(digits)? {
        -1 => Ok(None),
        len => {
            let len = usize::try_from(len).map_err(|_| Stop::Unreadable)?;
            (len <= max).then_some(Some(len)).ok_or(Stop::Unreadable)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_command_is_a_list_of_texts() {
        let mut out = Vec::new();
        put(&mut out, &[b"GET", b"k\r\n"]);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$3\r\nk\r\n\r\n");
    }

    #[test]
    fn replies_are_read_when_they_are_all_there() {
        let bytes = b"*3\r\n$2\r\na\n\r\n*2\r\n:-7\r\n$-1\r\n+OK\r\nrest";
        let expected = Reply::List(vec![
            Reply::Bytes(b"a\n".to_vec()),
            Reply::List(vec![Reply::Number(-7), Reply::Nil]),
            Reply::Status("OK".to_owned()),
        ]);
        let end = bytes.len() - 4;
        assert_eq!(read(bytes), Ok(Some((expected, end))));
        for end in 0..end {
            assert_eq!(read(&bytes[..end]), Ok(None), "{end} bytes");
        }
        assert_eq!(read(b"*-1\r\n"), Ok(Some((Reply::Nil, 5))));
        let error = Reply::Error("OOM no".to_owned());
        assert_eq!(read(b"-OOM no\r\n"), Ok(Some((error, 9))));
    }

    #[test]
    fn what_no_reply_of_ours_can_be_is_refused() {
        let deep = b"*1\r\n".repeat(DEPTH_MAX + 1);
        let long = [b'+'; 5000];
        for bytes in [
            &b"hello\r\n"[..],
            b"$3\r\nabcd\r\n",
            b"$-2\r\n",
            b"$99999999999\r\n",
            b"*99999999999\r\n",
            b":x\r\n",
            b"\r\n",
            &deep,
            &long,
        ] {
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(read(bytes), Err(Unreadable), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_wedge_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((_, len))) = read(&bytes) {
                prop_assert!(len <= bytes.len());
            }
        }
    }
}
