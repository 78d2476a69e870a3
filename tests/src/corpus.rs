//! Owns the form of `tests/corpus`: raw messages by class of attack, each with its verdict.
//! Never judges: the runners compare what happened with what a case says.
//!
//! A file holds lines of these kinds:
//!
//! - `# text`: why, with the section of the RFC; for readers.
//! - `frame BYTES`: what the inputs below are put into, at its `{}`.
//! - `expect BYTES`: what the peer behind gets of each case below that passes, where the input
//!   stands at `{}`. Cases with `->` lines say it themselves.
//! - `method NAME`, `end keep|close|reset` (responses only): what was asked, and whether the
//!   origin ends the connection behind the input.
//! - `VERDICT name: BYTES`: a case; see [`Verdict`].
//! - `  -> BYTES`: one message that the peer behind gets.
//!
//! In BYTES, `↵` is CRLF; `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH` are bytes; `{N*text}` repeats.

use std::path::Path;

/// What must become of an input.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    /// `pass` and `cut`: messages reach the peer behind; `wait` has none and no status.
    pub passes: bool,
    /// The connection ends behind it (requests: the client's; responses: the origin's is not
    /// used again): `pass+close`, `cut`, and every status.
    pub closes: bool,
    /// The refusal, after what passes: `400`, `pass+400`.
    pub status: Option<u16>,
    /// The client sees that the last message is incomplete: `cut`.
    pub cut: bool,
}

impl Verdict {
    fn parse(word: &str) -> Option<Self> {
        let mut verdict = Self::default();
        for part in word.split('+') {
            match part {
                "close" => verdict.closes = true,
                "cut" => {
                    (verdict.passes, verdict.closes, verdict.cut) = (true, true, true);
                }
                "pass" => verdict.passes = true,
                "wait" => {}
                status => {
                    verdict.status = Some(status.parse().ok()?);
                    verdict.closes = true;
                }
            }
        }
        Some(verdict)
    }
}

/// How the origin leaves the connection behind a response.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum End {
    /// It ends its side.
    Close,
    /// It keeps it open.
    #[default]
    Keep,
    /// It resets it.
    Reset,
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// The class of attack: the file's name.
    pub class: String,
    /// Class, name and line number.
    pub name: String,
    /// The bytes as they are sent.
    pub input: Vec<u8>,
    /// What must become of them.
    pub verdict: Verdict,
    /// The messages that the peer behind gets, with `{added}` and `{origin}` unresolved.
    pub messages: Vec<Vec<u8>>,
    /// Responses: the method that was asked with.
    pub method: String,
    /// Responses: what the origin does behind the input.
    pub end: End,
}

/// Reads all cases of `kind`: `requests` or `responses`.
///
/// # Panics
/// If a file cannot be read or is not in the form.
#[must_use]
pub fn read(kind: &str) -> Vec<Case> {
    let files = files(kind);
    let cases = files.iter().flat_map(|(class, text)| parse(class, text));
    cases.collect()
}

/// The files of a folder of the corpus, sorted: their names without ending, and their texts.
pub(crate) fn files(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the corpus is there")
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    files.sort();
    let named = files.iter().map(|file| {
        let name = file.file_stem().expect("a file has a name");
        let text = std::fs::read_to_string(file).expect("it is UTF-8 text");
        (name.to_string_lossy().into_owned(), text)
    });
    named.collect()
}

#[derive(Default)]
struct Context {
    frame: Option<String>,
    expect: Option<String>,
    method: Option<String>,
    end: End,
}

/// Reads the cases of one file.
///
/// # Panics
/// At the first line that is not in the form.
#[must_use]
pub fn parse(class: &str, text: &str) -> Vec<Case> {
    let mut context = Context::default();
    let mut cases: Vec<Case> = Vec::new();
    let mut owed: Option<String> = None;
    for (index, line) in text.lines().enumerate() {
        if let Some(message) = line.strip_prefix("  -> ") {
            let case = cases.last_mut().expect("a message belongs to a case");
            case.messages.push(unescape(message));
            owed = None;
            continue;
        }
        settle(&mut cases, owed.take());
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "" | "#" => {}
            "frame" => context.frame = Some(rest.to_owned()),
            "expect" => context.expect = Some(rest.to_owned()),
            "method" => context.method = Some(rest.to_owned()),
            "end" => {
                context.end = match rest {
                    "close" => End::Close,
                    "keep" => End::Keep,
                    "reset" => End::Reset,
                    other => panic!("{class}:{}: end {other}", index + 1),
                }
            }
            verdict => {
                let (case, expected) = case(&context, class, index + 1, verdict, rest);
                cases.push(case);
                owed = expected;
            }
        }
    }
    settle(&mut cases, owed);
    cases
}

/// Gives the last case the section's expectation, unless it had its own.
fn settle(cases: &mut [Case], owed: Option<String>) {
    if let (Some(case), Some(owed)) = (cases.last_mut(), owed) {
        case.messages.push(unescape(&owed));
    }
}

fn case(
    context: &Context,
    class: &str,
    line: usize,
    verdict: &str,
    rest: &str,
) -> (Case, Option<String>) {
    let Some(verdict) = Verdict::parse(verdict) else {
        panic!("{class}:{line}: no verdict {verdict:?}");
    };
    let Some((name, input)) = rest
        .split_once(": ")
        .or_else(|| Some((rest.strip_suffix(':')?, "")))
    else {
        panic!("{class}:{line}: no name");
    };
    let put = |frame: &Option<String>| frame.as_ref().map(|frame| frame.replacen("{}", input, 1));
    let whole = put(&context.frame).unwrap_or_else(|| input.to_owned());
    let case = Case {
        class: class.to_owned(),
        name: format!("{class}:{line} {name}"),
        input: unescape(&whole),
        verdict,
        messages: Vec::new(),
        method: context.method.clone().unwrap_or_else(|| "GET".to_owned()),
        end: context.end,
    };
    let expected = if verdict.passes {
        put(&context.expect)
    } else {
        None
    };
    (case, expected)
}

/// Turns the escapes into bytes; `{added}` and `{origin}` stay.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let mut len = letter.len_utf8();
        match letter {
            '↵' => bytes.extend_from_slice(b"\r\n"),
            '\\' => {
                let code = rest[1..]
                    .chars()
                    .next()
                    .expect("a letter follows a backslash");
                len += 1;
                match code {
                    'r' => bytes.push(b'\r'),
                    'n' => bytes.push(b'\n'),
                    't' => bytes.push(b'\t'),
                    '0' => bytes.push(0),
                    '\\' => bytes.push(b'\\'),
                    'x' => {
                        len += 2;
                        let hex = u8::from_str_radix(&rest[2..4], 16);
                        bytes.push(hex.expect("two hexadecimal digits"));
                    }
                    other => panic!("no escape \\{other}"),
                }
            }
            '{' => {
                let end = rest.find('}').expect("a closed brace");
                len = end + 1;
                match rest[1..end].split_once('*') {
                    Some((count, text)) => {
                        let count = count.parse().expect("a number of repetitions");
                        bytes.extend_from_slice(&unescape(text).repeat(count));
                    }
                    None => bytes.extend_from_slice(&rest.as_bytes()[..len]),
                }
            }
            _ => bytes.extend_from_slice(&rest.as_bytes()[..len]),
        }
        rest = &rest[len..];
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read() {
        let text = "# why\nframe A{}B\nexpect <{}>\n400 one: x\n501 two: \\x00\\r↵{3*ab}\n\n\
                    pass three: y\npass+close four:\n  -> 1\n  -> 2\nframe {}\nwait five: z\n";
        let cases = parse("c", text);
        let inputs: Vec<_> = cases.iter().map(|case| &case.input[..]).collect();
        assert_eq!(
            inputs,
            [&b"AxB"[..], b"A\0\r\r\nabababB", b"AyB", b"AB", b"z"]
        );
        assert_eq!(cases[0].name, "c:4 one");
        assert_eq!(
            (cases[1].verdict.status, cases[1].verdict.closes),
            (Some(501), true)
        );
        assert_eq!(cases[2].messages, [b"<y>"]);
        assert_eq!(cases[3].messages, [b"1", b"2"]);
        assert_eq!(cases[4].verdict, Verdict::default());
    }
}
