//! Owns a second reading of HTTP/1.1 messages: all bytes at once, by searching and splitting, as
//! RFC 9112 says it and as strict as `h1` promises to be.
//! Never shares code with what it is compared to, and knows no limits but those of numbers.

use crate::h1::Framing;

/// The messages of one direction of a connection that ends behind them.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) messages: Vec<Message>,
    pub(super) end: Stop,
}

/// How a reading ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stop {
    /// Between messages.
    Clean,
    /// Inside a message.
    Cut,
    /// At something that is no message.
    Malformed,
}

/// One message. Its head is whole, its body may not be.
#[derive(Debug)]
pub(super) struct Message {
    /// The three parts of the first line.
    pub(super) first: [Vec<u8>; 3],
    pub(super) fields: Vec<Field>,
    pub(super) framing: Framing,
    pub(super) body: Body,
}

/// The content of a message, as far as it goes.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    pub(super) trailers: Vec<Field>,
    /// Clean when it is whole.
    pub(super) end: Stop,
}

/// Name in lower case, value without white space around it.
pub(super) type Field = (String, Vec<u8>);

/// What is before the colon of a field line (RFC 9112 §5.1).
#[derive(Clone, Copy)]
enum Colon {
    /// The name.
    Bare,
    /// The name, and perhaps white space that a gateway takes off.
    Padded,
}

/// Reads requests until something is wrong.
pub(super) fn requests(mut input: &[u8]) -> Reading {
    let mut messages = Vec::new();
    let end = loop {
        // RFC 9112 §2.2: one empty line may come before a request.
        input = input.strip_prefix(b"\r\n").unwrap_or(input);
        if input.is_empty() {
            break Stop::Clean;
        }
        match request(&mut input) {
            Ok(message) => messages.push(message),
            Err(end) => break end,
        }
        match messages.last().map(|message| message.body.end) {
            Some(Stop::Clean) | None => {}
            Some(end @ (Stop::Cut | Stop::Malformed)) => break end,
        }
    };
    Reading { messages, end }
}

/// Reads an origin's answer to one request, behind which nothing may come.
pub(super) fn responses(is_head: bool, is_upgrade_asked: bool, mut input: &[u8]) -> Reading {
    let mut reading = answer_with(Colon::Padded, is_head, is_upgrade_asked, &mut input);
    if reading.end == Stop::Clean && !input.is_empty() {
        reading.end = Stop::Malformed;
    }
    reading
}

/// Takes the answer to one request as a client is to get it: interim responses, then a final one.
pub(super) fn answer(is_head: bool, is_upgrade_asked: bool, input: &mut &[u8]) -> Reading {
    answer_with(Colon::Bare, is_head, is_upgrade_asked, input)
}

fn answer_with(colon: Colon, is_head: bool, is_upgrade_asked: bool, input: &mut &[u8]) -> Reading {
    let mut messages = Vec::new();
    if input.is_empty() {
        let end = Stop::Clean;
        return Reading { messages, end };
    }
    let end = loop {
        match response(colon, is_head, is_upgrade_asked, input) {
            Ok(message) => {
                let is_interim = message.is_interim();
                let end = message.body.end;
                messages.push(message);
                if !is_interim {
                    break end;
                }
            }
            Err(end) => break end,
        }
    };
    Reading { messages, end }
}

/// Takes one chunked body of a request.
pub(super) fn chunked(input: &mut &[u8]) -> Body {
    chunked_with(Colon::Bare, input)
}

fn chunked_with(colon: Colon, input: &mut &[u8]) -> Body {
    let mut body = Body {
        bytes: Vec::new(),
        trailers: Vec::new(),
        end: Stop::Clean,
    };
    if let Err(end) = chunks(colon, input, &mut body) {
        body.end = end;
    }
    body
}

impl Message {
    /// Whether another response to the same request follows.
    pub(super) fn is_interim(&self) -> bool {
        self.first[1].starts_with(b"1") && self.first[1] != b"101"
    }
}

fn chunks(colon: Colon, input: &mut &[u8], body: &mut Body) -> Result<(), Stop> {
    loop {
        let line = take_line(input).ok_or(Stop::Cut)?;
        let size = chunk_size(line).ok_or(Stop::Malformed)?;
        if size == 0 {
            body.trailers = field_section(colon, input)?;
            return Ok(());
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let (data, rest) = input.split_at(size.min(input.len()));
        body.bytes.extend_from_slice(data);
        *input = match rest {
            [b'\r', b'\n', rest @ ..] => rest,
            [] | [b'\r'] => return Err(Stop::Cut),
            _ => return Err(Stop::Malformed),
        };
    }
}

fn request(input: &mut &[u8]) -> Result<Message, Stop> {
    let (line, fields) = head(Colon::Bare, input)?;
    let parts: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let [method, target, version] = parts[..] else {
        return Err(Stop::Malformed);
    };
    let minor = minor_version(version).ok_or(Stop::Malformed)?;
    if !is_token(method) {
        return Err(Stop::Malformed);
    }
    let declared = declared(minor, &fields).ok_or(Stop::Malformed)?;
    let framing = declared.unwrap_or(Framing::Empty);
    Ok(Message {
        first: [method.to_vec(), target.to_vec(), name_of(minor)],
        fields,
        framing,
        body: body(Colon::Bare, framing, input),
    })
}

fn response(
    colon: Colon,
    is_head: bool,
    is_upgrade_asked: bool,
    input: &mut &[u8],
) -> Result<Message, Stop> {
    let (line, fields) = head(colon, input)?;
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let mut part = || parts.next().unwrap_or_default();
    let (version, status, reason) = (part(), part(), part());
    let minor = minor_version(version).ok_or(Stop::Malformed)?;
    let is_status = status.len() == 3 && status[0] != b'0' && status.iter().all(u8::is_ascii_digit);
    if !is_status || !is_text(reason) || status == b"101" && !is_upgrade_asked {
        return Err(Stop::Malformed);
    }
    let declared = declared(minor, &fields).ok_or(Stop::Malformed)?;
    let framing = if is_head || status[0] == b'1' || status == b"204" || status == b"304" {
        Framing::Empty
    } else {
        declared.unwrap_or(Framing::UntilClose)
    };
    Ok(Message {
        first: [name_of(minor), status.to_vec(), reason.to_vec()],
        fields,
        framing,
        body: body(colon, framing, input),
    })
}

fn body(colon: Colon, framing: Framing, input: &mut &[u8]) -> Body {
    let length = match framing {
        Framing::Chunked => return chunked_with(colon, input),
        Framing::Empty => 0,
        Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        Framing::UntilClose => input.len(),
    };
    let (bytes, rest) = input.split_at(length.min(input.len()));
    *input = rest;
    Body {
        bytes: bytes.to_vec(),
        trailers: Vec::new(),
        end: if bytes.len() == length {
            Stop::Clean
        } else {
            Stop::Cut
        },
    }
}

/// The first line and the fields.
fn head<'a>(colon: Colon, input: &mut &'a [u8]) -> Result<(&'a [u8], Vec<Field>), Stop> {
    let line = take_line(input).ok_or(Stop::Cut)?;
    let fields = field_section(colon, input)?;
    if line.is_empty() || line.contains(&b'\n') || line.contains(&b'\r') {
        return Err(Stop::Malformed);
    }
    Ok((line, fields))
}

/// The lines up to an empty one; nothing is said of a section that is not there to its end.
fn field_section(colon: Colon, input: &mut &[u8]) -> Result<Vec<Field>, Stop> {
    let mut fields = Vec::new();
    let is_whole = input.starts_with(b"\r\n") || input.windows(4).any(|end| end == b"\r\n\r\n");
    if !is_whole {
        return Err(Stop::Cut);
    }
    loop {
        let line = take_line(input).ok_or(Stop::Cut)?;
        if line.is_empty() {
            return Ok(fields);
        }
        fields.push(field(colon, line).ok_or(Stop::Malformed)?);
    }
}

fn field(colon: Colon, line: &[u8]) -> Option<Field> {
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let at = line.iter().position(|&byte| byte == b':')?;
    let (mut name, value) = (&line[..at], &line[at + 1..]);
    while let (Colon::Padded, [rest @ .., last]) = (colon, name)
        && is_blank(last)
    {
        name = rest;
    }
    if !is_token(name) || !is_text(value) {
        return None;
    }
    let start = value.iter().position(|byte| !is_blank(byte));
    let end = value.iter().rposition(|byte| !is_blank(byte));
    let value = match (start, end) {
        (Some(start), Some(end)) => value[start..=end].to_vec(),
        (Some(_), None) | (None, _) => Vec::new(),
    };
    let name = String::from_utf8(name.to_ascii_lowercase()).ok()?;
    Some((name, value))
}

/// What the fields say of the framing; the outer `None` when it cannot be trusted.
fn declared(minor: u8, fields: &[Field]) -> Option<Option<Framing>> {
    let values = |name: &str| -> Vec<&[u8]> {
        let named = fields.iter().filter(|field| field.0 == name);
        named.map(|field| &field.1[..]).collect()
    };
    match (
        &values("transfer-encoding")[..],
        &values("content-length")[..],
    ) {
        ([], []) => Some(None),
        ([], [length]) => {
            let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(length).ok()?.parse().ok()?;
            is_number.then_some(Some(Framing::Length(number)))
        }
        ([coding], []) => {
            let is_chunked = minor > 0 && coding.eq_ignore_ascii_case(b"chunked");
            is_chunked.then_some(Some(Framing::Chunked))
        }
        (_, _) => None,
    }
}

/// RFC 9112 §7.1: `chunk-size [ chunk-ext ]`.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let is_digit = |byte: &u8| byte.is_ascii_hexdigit();
    let digits = line.iter().take_while(|byte| is_digit(byte)).count();
    let (number, rest) = line.split_at(digits);
    let extension = rest.trim_ascii_start();
    let is_blank_only = extension.is_empty() && !rest.is_empty();
    let is_extension = extension.is_empty() || extension[0] == b';';
    if digits == 0 || is_blank_only || !is_extension || !is_text(rest) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(number).ok()?, 16).ok()
}

/// The minor version of `HTTP/1.x`.
fn minor_version(version: &[u8]) -> Option<u8> {
    match version.strip_prefix(b"HTTP/1.")? {
        [digit] if digit.is_ascii_digit() => Some(digit - b'0'),
        _ => None,
    }
}

/// RFC 9110 §2.5: a higher minor version is read as the highest one known.
fn name_of(minor: u8) -> Vec<u8> {
    format!("HTTP/1.{}", minor.min(1)).into_bytes()
}

fn is_token(bytes: &[u8]) -> bool {
    let delimiters = b"\"(),/:;<=>?@[\\]{}";
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_graphic() && !delimiters.contains(byte))
}

/// No control but the tab.
fn is_text(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)
}

/// The next line without its CRLF.
fn take_line<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = input.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &input[..end];
    *input = &input[end + 2..];
    Some(line)
}
