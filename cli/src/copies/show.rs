//! Owns `retter copies show`: one copy with its head and content.
//! Never lets a page steer a terminal: what is no text is shown by its escape there.

use std::io::{IsTerminal, Write};

use http::Method;
use retter_core::limits::HEAD_BYTES_CEILING;

use crate::admin::{SHOWN, encode};
use crate::instance::{self, Told};
use crate::settings::Loaded;

pub(super) fn run(
    loaded: &Loaded,
    url: &str,
    number: Option<u32>,
    head_only: bool,
) -> Result<(), String> {
    let number = number.unwrap_or(1);
    let target = format!("/copies/show?url={}&number={number}", encode(url));
    let told = Told {
        method: &Method::GET,
        target: &target,
        content: b"",
        more: &[],
        bytes_max: loaded.values.core.site.cache.object_bytes_max + HEAD_BYTES_CEILING,
    };
    let answer = instance::tell(loaded, told).map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(String::from_utf8_lossy(&answer.body).trim_end().to_owned());
    }
    let shown = answer.field(SHOWN);
    if shown != "1 of 1" {
        let _ = writeln!(
            std::io::stderr(),
            "copy {shown}; `--number` shows the others"
        );
    }
    let head_end = end_of_head(&answer.body).unwrap_or(answer.body.len());
    let message = match head_only {
        true => &answer.body[..head_end],
        false => &answer.body[..],
    };
    let mut out = std::io::stdout().lock();
    let written = match out.is_terminal() {
        true => out.write_all(harmless(message).as_bytes()),
        false => out.write_all(message),
    };
    // A reader that went away is no failure of ours.
    let _ = written;
    Ok(())
}

/// Where the head ends, with the empty line.
fn end_of_head(message: &[u8]) -> Option<usize> {
    let mut windows = message.windows(4);
    windows.position(|at| at == b"\r\n\r\n").map(|at| at + 4)
}

/// The text without what a terminal would obey.
fn harmless(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message).replace("\r\n", "\n");
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_does_not_steer_a_terminal() {
        let page = b"HTTP/1.1 200 OK\r\na: b\r\n\r\n\x1b]0;title\x07\tgr\xc3\xbc\xc3\x9fe\xff\n";
        assert_eq!(
            harmless(page),
            "HTTP/1.1 200 OK\na: b\n\n\\u{1b}]0;title\\u{7}\tgrüße\u{fffd}\n"
        );
        assert_eq!(end_of_head(page), Some(25));
    }
}
