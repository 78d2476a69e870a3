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

#[derive(Debug)]
pub(super) struct Message {
    /// The three parts of the first line.
    pub(super) first: [Vec<u8>; 3],
    pub(super) fields: Vec<Field>,
    pub(super) framing: Framing,
    pub(super) body: Vec<u8>,
    /// `None` when the body is not complete.
    pub(super) trailers: Option<Vec<Field>>,
}

/// Name in lower case, value without white space around it.
pub(super) type Field = (String, Vec<u8>);

/// Reads requests until something is wrong.
pub(super) fn requests(mut input: &[u8]) -> Reading {
    let mut messages = Vec::new();
    loop {
        // RFC 9112 §2.2: one empty line may come before a request.
        input = input.strip_prefix(b"\r\n").unwrap_or(input);
        if input.is_empty() {
            let end = Stop::Clean;
            return Reading { messages, end };
        }
        match request(&mut input) {
            Ok(message) => {
                let is_cut = message.trailers.is_none();
                messages.push(message);
                if is_cut {
                    let end = Stop::Cut;
                    return Reading { messages, end };
                }
            }
            Err(Failed { message, end }) => {
                messages.extend(message);
                return Reading { messages, end };
            }
        }
    }
}

/// Reads the answer to one request behind which nothing may come.
pub(super) fn responses(is_head: bool, is_upgrade_asked: bool, mut input: &[u8]) -> Reading {
    let mut reading = answer(is_head, is_upgrade_asked, &mut input);
    if reading.end == Stop::Clean && !input.is_empty() {
        reading.end = Stop::Malformed;
    }
    reading
}

/// Takes the answer to one request: interim responses, then a final one.
pub(super) fn answer(is_head: bool, is_upgrade_asked: bool, input: &mut &[u8]) -> Reading {
    let mut messages = Vec::new();
    if input.is_empty() {
        let end = Stop::Clean;
        return Reading { messages, end };
    }
    loop {
        let (message, is_last) = match response(is_head, is_upgrade_asked, input) {
            Ok(read) => read,
            Err(Failed { message, end }) => {
                messages.extend(message);
                return Reading { messages, end };
            }
        };
        let is_cut = message.trailers.is_none();
        messages.push(message);
        if is_cut || is_last {
            let end = if is_cut { Stop::Cut } else { Stop::Clean };
            return Reading { messages, end };
        }
    }
}

/// Reads one chunked body; `None` in place of the trailers when it is cut.
pub(super) fn chunked(input: &mut &[u8]) -> Result<(Vec<u8>, Option<Vec<Field>>), Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let Some(line) = take_line(input) else {
            return Ok((body, None));
        };
        let Some(size) = chunk_size(line) else {
            return Err(body);
        };
        if size == 0 {
            return match field_section(input) {
                Ok(trailers) => Ok((body, Some(trailers))),
                Err(Stop::Cut) => Ok((body, None)),
                Err(Stop::Clean | Stop::Malformed) => Err(body),
            };
        }
        let Some((data, rest)) = usize::try_from(size)
            .ok()
            .and_then(|size| input.split_at_checked(size))
        else {
            body.extend_from_slice(input);
            return Ok((body, None));
        };
        body.extend_from_slice(data);
        match rest {
            [b'\r', b'\n', rest @ ..] => *input = rest,
            [] | [b'\r'] => return Ok((body, None)),
            _ => return Err(body),
        }
    }
}

/// What was read when it failed.
struct Failed {
    message: Option<Message>,
    end: Stop,
}

fn failed(end: Stop) -> Failed {
    let message = None;
    Failed { message, end }
}

fn request(input: &mut &[u8]) -> Result<Message, Failed> {
    let (line, fields) = head(input).map_err(failed)?;
    let parts: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let [method, target, version] = parts[..] else {
        return Err(failed(Stop::Malformed));
    };
    let minor = minor_version(version).ok_or_else(|| failed(Stop::Malformed))?;
    if !is_token(method) {
        return Err(failed(Stop::Malformed));
    }
    let declared = declared(minor, &fields).ok_or_else(|| failed(Stop::Malformed))?;
    let first = [method.to_vec(), target.to_vec(), name_of(minor)];
    with_body(first, fields, declared.unwrap_or(Framing::Empty), input)
}

/// Reads one response; tells with it whether it is the last of this answer.
fn response(
    is_head: bool,
    is_upgrade_asked: bool,
    input: &mut &[u8],
) -> Result<(Message, bool), Failed> {
    let (line, fields) = head(input).map_err(failed)?;
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let mut part = || parts.next().unwrap_or_default();
    let (version, status, reason) = (part(), part(), part());
    let minor = minor_version(version);
    let is_status = status.len() == 3 && status[0] != b'0' && status.iter().all(u8::is_ascii_digit);
    let (Some(minor), true, true) = (minor, is_status, is_text(reason)) else {
        return Err(failed(Stop::Malformed));
    };
    let declared = declared(minor, &fields).ok_or_else(|| failed(Stop::Malformed))?;
    let first = [name_of(minor), status.to_vec(), reason.to_vec()];
    let is_interim = status[0] == b'1';
    if status == b"101" && !is_upgrade_asked {
        return Err(failed(Stop::Malformed));
    }
    let framing = if is_head || is_interim || status == b"204" || status == b"304" {
        Framing::Empty
    } else {
        declared.unwrap_or(Framing::UntilClose)
    };
    let message = with_body(first, fields, framing, input)?;
    Ok((message, !is_interim || status == b"101"))
}

fn with_body(
    first: [Vec<u8>; 3],
    fields: Vec<Field>,
    framing: Framing,
    input: &mut &[u8],
) -> Result<Message, Failed> {
    let mut end = None;
    let (body, trailers) = match framing {
        Framing::Empty => (Vec::new(), Some(Vec::new())),
        Framing::Length(length) => {
            let found = usize::try_from(length).unwrap_or(usize::MAX);
            let (body, rest) = input.split_at(found.min(input.len()));
            *input = rest;
            (body.to_vec(), (body.len() == found).then(Vec::new))
        }
        Framing::Chunked => match chunked(input) {
            Ok(read) => read,
            Err(body) => {
                end = Some(Stop::Malformed);
                (body, None)
            }
        },
        Framing::UntilClose => (std::mem::take(input).to_vec(), Some(Vec::new())),
    };
    let message = Message {
        first,
        fields,
        framing,
        body,
        trailers,
    };
    match end {
        None => Ok(message),
        Some(end) => Err(Failed {
            message: Some(message),
            end,
        }),
    }
}

/// The first line and the fields.
fn head<'a>(input: &mut &'a [u8]) -> Result<(&'a [u8], Vec<Field>), Stop> {
    let line = take_line(input).ok_or(Stop::Cut)?;
    if line.is_empty() || line.contains(&b'\n') || line.contains(&b'\r') {
        return Err(Stop::Malformed);
    }
    Ok((line, field_section(input)?))
}

fn field_section(input: &mut &[u8]) -> Result<Vec<Field>, Stop> {
    let mut fields = Vec::new();
    loop {
        let line = take_line(input).ok_or(Stop::Cut)?;
        if line.is_empty() {
            return Ok(fields);
        }
        fields.push(field(line).ok_or(Stop::Malformed)?);
    }
}

fn field(line: &[u8]) -> Option<Field> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) || !is_text(value) {
        return None;
    }
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
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
    if digits == 0 || digits > 16 || is_blank_only || !is_extension || !is_text(rest) {
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
