//! Owns a reader of whole messages in bytes that were recorded: what a peer that follows RFC 9112
//! to the letter takes them for. Shares no code with the parser under test.
//! Never forgives, and never guesses.

/// A message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Message {
    /// The start line and the field lines, with their line ends and without the empty line.
    pub head: Vec<u8>,
    /// The content, without transfer coding.
    pub body: Vec<u8>,
    /// The trailer section's lines.
    pub trailers: Vec<u8>,
}

/// What follows the last whole message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Rest {
    /// Bytes that no message can begin with, or go on with.
    Broken(&'static str),
    /// Nothing.
    Nothing,
    /// The beginning of a message.
    Partial,
}

/// Whose messages they are.
#[derive(Clone, Copy, Debug)]
pub enum Sender<'a> {
    /// Requests.
    Client,
    /// Responses.
    Server {
        /// What was asked with, in order.
        methods: &'a [String],
        /// Whether the stream ended regularly, which completes a body that lasts until then.
        ended: bool,
    },
}

/// Reads all whole messages.
#[must_use]
pub fn read(bytes: &[u8], sender: Sender<'_>) -> (Vec<Message>, Rest) {
    let mut messages = Vec::new();
    let mut finals = 0;
    let mut left = bytes;
    loop {
        if left.is_empty() {
            return (messages, Rest::Nothing);
        }
        match message(&mut left, sender, finals) {
            Ok(Some((message, is_final))) => {
                finals += usize::from(is_final);
                messages.push(message);
            }
            Ok(None) => return (messages, Rest::Partial),
            Err(why) => return (messages, Rest::Broken(why)),
        }
    }
}

/// The value of the only line of the field `name` in a head.
///
/// # Errors
/// When there is more than one.
pub fn field<'a>(head: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, &'static str> {
    let mut found = None;
    for line in lines(head).skip(1) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return Err("a field line without a colon");
        };
        if line[..colon].eq_ignore_ascii_case(name.as_bytes())
            && found.replace(line[colon + 1..].trim_ascii()).is_some()
        {
            return Err("a repeated field");
        }
    }
    Ok(found)
}

fn lines(section: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = section.strip_suffix(b"\r\n").unwrap_or(section);
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let all = rest?;
        match all.windows(2).position(|pair| pair == b"\r\n") {
            Some(end) => {
                rest = Some(&all[end + 2..]);
                Some(&all[..end])
            }
            None => rest.take(),
        }
    })
}

type Step<T> = Result<Option<T>, &'static str>;

fn message(left: &mut &[u8], sender: Sender<'_>, finals: usize) -> Step<(Message, bool)> {
    let Some(end) = left.windows(4).position(|four| four == b"\r\n\r\n") else {
        let pairs = left.windows(2);
        let has_bare = pairs
            .into_iter()
            .any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
        return if has_bare {
            Err("a bare line feed")
        } else {
            Ok(None)
        };
    };
    let mut message = Message {
        head: left[..end + 2].to_vec(),
        ..Message::default()
    };
    check_head(&message.head)?;
    let start = lines(&message.head).next().unwrap_or_default();
    let (framing, is_final) = match sender {
        Sender::Client => {
            check_request_line(start)?;
            if field(&message.head, "host")?.is_none() {
                return Err("no host");
            }
            (framing(&message.head)?.unwrap_or(Framing::Nothing), true)
        }
        Sender::Server { methods, ended } => {
            let code = check_status_line(start)?;
            let method = methods
                .get(finals)
                .ok_or("a response that nobody asked for")?;
            let declared = framing(&message.head)?;
            if (code < 200 || code == 204) && declared.is_some() {
                return Err("framing where RFC 9110 §8.6 and RFC 9112 §6.1 forbid it");
            }
            let bodiless = method == "HEAD" || code < 200 || code == 204 || code == 304;
            let framing = match declared {
                _ if bodiless => Framing::Nothing,
                None => Framing::UntilClose { ended },
                Some(framing) => framing,
            };
            (framing, code >= 200 || code == 101)
        }
    };
    let mut rest = &left[end + 4..];
    if body(&mut rest, framing, &mut message)?.is_none() {
        return Ok(None);
    }
    *left = rest;
    Ok(Some((message, is_final)))
}

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy)]
enum Framing {
    Chunked,
    Length(usize),
    Nothing,
    UntilClose { ended: bool },
}

/// What a head declares.
fn framing(head: &[u8]) -> Result<Option<Framing>, &'static str> {
    match (
        field(head, "content-length")?,
        field(head, "transfer-encoding")?,
    ) {
        (Some(_), Some(_)) => Err("both content-length and transfer-encoding"),
        (Some(length), None) => {
            let text = std::str::from_utf8(length).map_err(|_| "a length that is no text")?;
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err("a length that is no number");
            }
            let length = text.parse().map_err(|_| "a length beyond all bounds")?;
            Ok(Some(Framing::Length(length)))
        }
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Some(Framing::Chunked))
        }
        (None, Some(_)) => Err("a transfer coding that nobody agreed to"),
        (None, None) => Ok(None),
    }
}

fn body(rest: &mut &[u8], framing: Framing, message: &mut Message) -> Step<()> {
    match framing {
        Framing::Chunked => return chunks(rest, message),
        Framing::Length(length) => {
            let Some((body, next)) = rest.split_at_checked(length) else {
                return Ok(None);
            };
            message.body = body.to_vec();
            *rest = next;
        }
        Framing::Nothing => {}
        Framing::UntilClose { ended: false } => return Ok(None),
        Framing::UntilClose { ended: true } => message.body = std::mem::take(rest).to_vec(),
    }
    Ok(Some(()))
}

fn check_head(head: &[u8]) -> Result<(), &'static str> {
    let token = |&byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    for (index, line) in lines(head).enumerate() {
        if line
            .iter()
            .any(|&byte| byte < b' ' && byte != b'\t' || byte == 0x7f)
        {
            return Err("a control character in a head");
        }
        if index > 0 {
            let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
            if name.is_empty() || name.len() == line.len() || !name.iter().all(token) {
                return Err("a field line that has no name");
            }
        }
    }
    Ok(())
}

fn check_request_line(line: &[u8]) -> Result<(), &'static str> {
    let parts: Vec<_> = line.split(|&byte| byte == b' ').collect();
    match parts[..] {
        [method, target, b"HTTP/1.1"] if !method.is_empty() && !target.is_empty() => Ok(()),
        _ => Err("a request line that is none"),
    }
}

fn check_status_line(line: &[u8]) -> Result<u16, &'static str> {
    let code = line
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| rest.split_at_checked(3))
        .filter(|(_, reason)| reason.first() == Some(&b' '))
        .and_then(|(code, _)| std::str::from_utf8(code).ok()?.parse().ok());
    code.ok_or("a status line that is none")
}

/// RFC 9112 §7.1, without extensions: nobody sends any.
fn chunks<'a>(left: &mut &'a [u8], message: &mut Message) -> Step<()> {
    loop {
        let Some(end) = left.windows(2).position(|pair| pair == b"\r\n") else {
            return if left.len() > 16 {
                Err("an endless chunk size")
            } else {
                Ok(None)
            };
        };
        let size = std::str::from_utf8(&left[..end]).map_err(|_| "a chunk size that is no text")?;
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("a chunk size that is no number");
        }
        let size = usize::from_str_radix(size, 16).map_err(|_| "a chunk beyond all bounds")?;
        let rest: &'a [u8] = &left[end + 2..];
        if size == 0 {
            return trailers(rest, left, message);
        }
        let Some((data, rest)) = rest.split_at_checked(size) else {
            return Ok(None);
        };
        let Some((line_end, rest)) = rest.split_at_checked(2) else {
            return Ok(None);
        };
        if line_end != b"\r\n" {
            return Err("a chunk longer than its size");
        }
        message.body.extend_from_slice(data);
        *left = rest;
    }
}

fn trailers<'a>(rest: &'a [u8], left: &mut &'a [u8], message: &mut Message) -> Step<()> {
    if let Some(next) = rest.strip_prefix(b"\r\n") {
        *left = next;
    } else if let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
        message.trailers = rest[..end + 2].to_vec();
        *left = &rest[end + 4..];
    } else {
        return Ok(None);
    }
    Ok(Some(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let get = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let post = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                     1\r\na\r\n2\r\nbc\r\n0\r\nX: y\r\n\r\n";
        let both = [&post[..], get].concat();
        let (found, rest) = read(&both, Sender::Client);
        assert_eq!((found.len(), rest), (2, Rest::Nothing));
        assert_eq!(
            (&found[0].body[..], &found[0].trailers[..]),
            (&b"abc"[..], &b"X: y\r\n"[..])
        );
        for cut in 1..post.len() {
            assert_eq!(
                read(&post[..cut], Sender::Client),
                (vec![], Rest::Partial),
                "{cut}"
            );
        }
        let bad = b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na";
        assert!(matches!(read(bad, Sender::Client).1, Rest::Broken(_)));
    }
}
