//! Owns the reading of whole messages in bytes that were recorded: what a peer that follows RFC 9112
//! to the letter takes them for.
//! Never guesses.

use crate::{Fields, Framing, Head, Part, Reader, Unfit};

/// A message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Message {
    /// The start line and the field lines, with their line ends and without the empty line.
    pub head: Vec<u8>,
    /// The content, without transfer coding.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Fields,
}

/// What follows the last whole message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Rest {
    /// Bytes that no message can begin with, or go on with.
    Broken(Unfit),
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
    let mut reader = Reader::default();
    reader.push(bytes);
    if matches!(sender, Sender::Server { ended: true, .. }) {
        reader.end();
    }
    let (mut messages, mut finals) = (Vec::new(), 0);
    loop {
        if reader.rest().is_empty() {
            return (messages, Rest::Nothing);
        }
        match message(&mut reader, sender, finals) {
            Ok(Some((message, is_final))) => {
                finals += usize::from(is_final);
                messages.push(message);
            }
            Ok(None) => return (messages, Rest::Partial),
            Err(why) => return (messages, Rest::Broken(why)),
        }
    }
}

fn message(
    reader: &mut Reader,
    sender: Sender<'_>,
    finals: usize,
) -> Result<Option<(Message, bool)>, Unfit> {
    let Some(Part::Head(head)) = reader.next_part()? else {
        return Ok(None);
    };
    let (framing, is_final) = match sender {
        Sender::Client => (request_framing(&head)?, true),
        Sender::Server { methods, .. } => response_framing(&head, methods.get(finals))?,
    };
    let mut message = Message {
        head: head.raw[..head.raw.len() - 2].to_vec(),
        ..Message::default()
    };
    reader.begin(framing);
    loop {
        match reader.next_part()? {
            Some(Part::Data(data)) => message.body.extend(data),
            Some(Part::End(trailers)) => {
                message.trailers = trailers;
                return Ok(Some((message, is_final)));
            }
            Some(Part::Head(_)) | None => return Ok(None),
        }
    }
}

fn request_framing(head: &Head) -> Result<Framing, Unfit> {
    let parts: Vec<_> = head.start.split(' ').collect();
    match parts[..] {
        [method, target, "HTTP/1.1"] if !method.is_empty() && !target.is_empty() => {}
        _ => return Err(Unfit::new("a request line that is none")),
    }
    if head.fields.all("host").count() != 1 {
        return Err(Unfit::new("no host, or several"));
    }
    Ok(head.fields.framing()?.unwrap_or(Framing::Length(0)))
}

/// How a response is framed, and whether it is the last to its request.
fn response_framing(head: &Head, method: Option<&String>) -> Result<(Framing, bool), Unfit> {
    let code = head.start.strip_prefix("HTTP/1.1 ");
    let code = code.and_then(|rest| rest.split_once(' '));
    let code: u16 = code
        .filter(|(code, _)| code.len() == 3)
        .and_then(|(code, _)| code.parse().ok())
        .ok_or_else(|| Unfit::new("a status line that is none"))?;
    let method = method.ok_or_else(|| Unfit::new("a response that nobody asked for"))?;
    let declared = head.fields.framing()?;
    if (code < 200 || code == 204) && declared.is_some() {
        return Err(Unfit::new(
            "framing where RFC 9110 §8.6 and RFC 9112 §6.1 forbid it",
        ));
    }
    let has_none = method == "HEAD" || code < 200 || code == 204 || code == 304;
    let framing = match declared {
        _ if has_none => Framing::Length(0),
        None => Framing::UntilClose,
        Some(framing) => framing,
    };
    Ok((framing, code >= 200 || code == 101))
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
        assert_eq!(found[0].body, b"abc");
        assert_eq!(found[0].trailers.one("x"), Some("y"));
        for cut in 1..post.len() {
            let found = read(&post[..cut], Sender::Client);
            assert_eq!(found, (vec![], Rest::Partial), "{cut}");
        }
    }

    #[test]
    fn what_rfc_9112_does_not_allow_a_client_is_broken() {
        let chunked = "Host: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        for bytes in [
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na",
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\n",
            "GET / HTTP/1.1\r\nHost: h\r\n X: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
            &format!("GET / HTTP/1.1\r\n{chunked}1;x\r\na\r\n0\r\n\r\n"),
            &format!("GET / HTTP/1.1\r\n{chunked}1\r\nab\r\n0\r\n\r\n"),
            &format!("GET / HTTP/1.1\r\n{chunked}0x1\r\na\r\n0\r\n\r\n"),
            &format!("GET / HTTP/1.1\r\n{chunked}1\na\r\n0\r\n\r\n"),
        ] {
            let (found, rest) = read(bytes.as_bytes(), Sender::Client);
            assert!(found.is_empty(), "{bytes:?}");
            assert!(matches!(rest, Rest::Broken(_)), "{bytes:?} {rest:?}");
        }
    }

    #[test]
    fn responses_are_framed_by_what_was_asked() {
        let methods = ["HEAD", "GET", "GET"].map(str::to_owned);
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\
                      HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n\
                      HTTP/1.1 200 OK\r\n\r\nuntil the end";
        for ended in [true, false] {
            let methods = &methods;
            let (found, rest) = read(bytes, Sender::Server { methods, ended });
            let bodies: Vec<_> = found.iter().map(|found| &found.body[..]).collect();
            let expected: &[&[u8]] = match ended {
                true => &[b"", b"", b"", b"until the end"],
                false => &[b"", b"", b""],
            };
            assert_eq!(bodies, expected);
            assert_eq!(rest == Rest::Nothing, ended);
        }
        let one = &methods[..1];
        let server = Sender::Server {
            methods: one,
            ended: false,
        };
        let (found, rest) = read(bytes, server);
        assert_eq!(found.len(), 1);
        assert!(matches!(rest, Rest::Broken(_)));
    }
}
