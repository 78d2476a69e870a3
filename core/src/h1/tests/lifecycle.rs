//! The table of LIFECYCLE.md about bodies: made by running the decoder, compared with the file.

use std::fmt::Write;

use http::Method;

use super::{ClientConn, Event};

/// What the machine says about these bytes, and then about the end of the stream.
fn events(head: &str, bytes: &str, ends: bool) -> String {
    let mut conn = ClientConn::new(1024);
    conn.begin(&Method::GET, false);
    for part in [head, bytes] {
        conn.read_buf()[..part.len()].copy_from_slice(part.as_bytes());
        if !part.is_empty() {
            conn.handle_read(part.len());
        }
    }
    if ends {
        conn.handle_read(0);
    }
    let mut said = Vec::new();
    loop {
        let event = match conn.next_event() {
            Ok(Event::Closed) => "closed".to_owned(),
            Ok(Event::Data(data)) => format!("data {}", data.len()),
            Ok(Event::End { trailers }) if trailers.is_empty() => "end".to_owned(),
            Ok(Event::End { trailers }) => format!("end with {} trailer", trailers.len()),
            Ok(Event::Head(_)) => continue,
            Ok(Event::NeedData) => "more is needed".to_owned(),
            Err(error) => format!("error: {error}"),
        };
        let goes_on = event.starts_with("data");
        said.push(event);
        if !goes_on {
            return said.join(", ");
        }
    }
}

const FRAMINGS: [(&str, &str); 4] = [
    ("none", "HTTP/1.1 204 No Content\r\n\r\n"),
    ("length 4", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
    (
        "chunked",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    ("until close", "HTTP/1.1 200 OK\r\n\r\n"),
];

fn inputs(framing: &str) -> &'static [(&'static str, bool)] {
    match framing {
        "none" => &[("", false), ("", true)],
        "chunked" => &[
            ("", false),
            ("4\r\ngo", false),
            ("4\r\ngood\r\n", false),
            ("4\r\ngood\r\n0\r\n\r\n", false),
            ("4\r\ngood\r\n0\r\nA: b\r\n\r\n", false),
            ("4\r\ngood\r\n", true),
            ("4\r\ngoodx", false),
            ("x\r\n", false),
        ],
        _ => &[
            ("", false),
            ("go", false),
            ("good", false),
            ("go", true),
            ("good", true),
        ],
    }
}

/// To renew the file: copy the table from the message of the failure.
#[test]
fn the_table_of_bodies_is_what_happens() {
    let mut table = String::from("| framing | bytes | then | events |\n|---|---|---|---|\n");
    for (framing, head) in FRAMINGS {
        for (bytes, ends) in inputs(framing) {
            let shown = bytes.escape_debug();
            let then = if *ends { "the stream ends" } else { "" };
            let events = events(head, bytes, *ends);
            let _ = writeln!(table, "| {framing} | `{shown}` | {then} | {events} |");
        }
    }
    let file = include_str!("../../../LIFECYCLE.md");
    assert!(file.contains(&table), "LIFECYCLE.md lacks this:\n{table}");
}
