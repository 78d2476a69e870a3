//! Owns the access log, and the Common and Combined forms of its lines; JSON is `retter_log`'s.
//! Never makes a request wait: [`Lines`] does not.

use std::io::Write;

use retter_core::event::Report;
use retter_core::key::Keyer;
use retter_core::message::{RequestHead, Version};
use retter_log::{Line, escape, without_secrets};

use super::lines::Lines;
use crate::clock::{Clock, LogTime};
use crate::settings::AccessFormat;

/// Writes one line per exchange through a thread of its own.
#[derive(Debug)]
pub(crate) struct AccessLog {
    format: AccessFormat,
    lines: Lines,
}

impl AccessLog {
    /// Starts the thread that writes to `out`.
    pub(crate) fn start(
        format: AccessFormat,
        out: impl Write + Send + 'static,
    ) -> std::io::Result<Self> {
        let lines = Lines::start("access-log", out)?;
        Ok(Self { format, lines })
    }

    /// Hands one line to the writer, or drops it.
    pub(crate) fn write(&self, report: &Report, keyer: &Keyer, clock: Clock) {
        self.lines.put(line(self.format, report, keyer, clock));
    }

    /// Gives the reader a moment to take what is left.
    pub(crate) fn flush(&self) {
        self.lines.flush();
    }

    /// Lines dropped since start.
    pub(crate) fn dropped(&self) -> u64 {
        self.lines.dropped()
    }
}

fn line(format: AccessFormat, report: &Report, keyer: &Keyer, clock: Clock) -> String {
    match format {
        AccessFormat::Combined => {
            let field = |name| escape(field_of(report, name).unwrap_or(b"-"));
            let referer = field_of(report, "referer").unwrap_or(b"-");
            let (referer, agent) = (escape(&without_secrets(referer)), field("user-agent"));
            format!("{} \"{referer}\" \"{agent}\"\n", common(report, clock))
        }
        AccessFormat::Common => format!("{}\n", common(report, clock)),
        AccessFormat::Json => Line::of(report, keyer, clock.wall(report.started)).to_json(),
    }
}

fn common(report: &Report, clock: Clock) -> String {
    let request = report.request.as_ref().map_or_else(
        || "-".to_owned(),
        |head| {
            let method = escape(head.method.as_str().as_bytes());
            let target = escape(&without_secrets(&head.target));
            format!("{method} {target} HTTP/{}", version(head))
        },
    );
    let status = report
        .status
        .map_or_else(|| "-".to_owned(), |status| status.as_str().to_owned());
    format!(
        "{} - - [{}] \"{request}\" {status} {}",
        report.client,
        LogTime(clock.wall(report.ended)),
        report.bytes_sent
    )
}

fn version(head: &RequestHead) -> &'static str {
    match head.version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
    }
}

fn field_of<'a>(report: &'a Report, name: &str) -> Option<&'a [u8]> {
    report
        .request
        .as_ref()
        .and_then(|head| head.fields.get(name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Method, StatusCode};
    use retter_core::config::CacheSettings;
    use retter_core::message::Fields;

    use super::*;
    use crate::telemetry::sample;

    fn report() -> Report {
        let fields = Fields::from_pairs([("User-Agent", &b"evil\" \x1b[31m\xff\\"[..])]);
        Report {
            bytes_sent: 12,
            client: "203.0.113.9".parse().unwrap(),
            request: Some(Arc::new(RequestHead::new(Method::GET, "/a?b=\"", fields))),
            status: Some(StatusCode::OK),
            ..sample::report()
        }
    }

    fn keyer() -> Keyer {
        Keyer::new(&CacheSettings::default(), 1)
    }

    #[test]
    fn common_and_combined() {
        let clock = Clock::start();
        let common = line(AccessFormat::Common, &report(), &keyer(), clock);
        assert!(common.starts_with("203.0.113.9 - - ["), "{common}");
        assert!(
            common.ends_with(" +0000] \"GET /a?b=\\x22 HTTP/1.1\" 200 12\n"),
            "{common}"
        );
        let combined = line(AccessFormat::Combined, &report(), &keyer(), clock);
        let tail = " 200 12 \"-\" \"evil\\x22 \\x1B[31m\\xFF\\x5C\"\n";
        assert!(combined.ends_with(tail), "{combined}");
        let unreadable = Report {
            request: None,
            status: None,
            ..report()
        };
        let line = line(AccessFormat::Combined, &unreadable, &keyer(), clock);
        assert!(line.ends_with(" \"-\" - 12 \"-\" \"-\"\n"), "{line}");
    }

    #[test]
    fn json_is_one_line_of_the_exchange() {
        let (report, clock) = (report(), Clock::start());
        let text = line(AccessFormat::Json, &report, &keyer(), clock);
        let read = Line::parse(text.as_bytes()).unwrap();
        assert_eq!((read.client, read.status), (Some(report.client), Some(200)));
        assert_eq!(read.target.as_deref(), Some(&b"/a?b=\""[..]));
        assert!(read.time.unwrap() <= std::time::SystemTime::now());
        assert_eq!(text.lines().count(), 1);
    }
}
