//! Owns what is logged of bytes that are not HTTP/1.1 or break a limit: what was broken, by whom,
//! and which setting allows more. Each kind is told at most once a minute.
//! Never counts, and repeats nothing of what was sent but a method and a path.

use std::borrow::Cow;

use retter_core::event::Report;
use retter_core::limits::{
    CHUNK_EXT_BYTES_MAX, HEAD_BYTES_CEILING, INTERIM_MAX, TRAILER_BYTES_MAX,
};
use retter_core::message::ProtocolError;
use retter_core::seldom::Seldom;

use super::asked::{asked, called};

const KINDS: usize = ProtocolError::ALL.len();

/// When each kind was told last, by the side that broke it.
#[derive(Debug, Default)]
pub(crate) struct Broken {
    application: [Seldom; KINDS],
    clients: [Seldom; KINDS],
}

/// What the heads of one side may have, and the settings that say so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    pub(crate) bytes: (usize, &'static str),
    pub(crate) fields: (usize, &'static str),
}

impl HeadLimits {
    /// Those of requests.
    pub(crate) const fn of_requests(bytes: usize, fields: usize) -> Self {
        Self {
            bytes: (bytes, "RETTER_SERVER_HEAD_BYTES"),
            fields: (fields, "RETTER_SERVER_HEAD_FIELDS"),
        }
    }

    /// Those of answers.
    pub(crate) const fn of_answers(bytes: usize, fields: usize) -> Self {
        Self {
            bytes: (bytes, "RETTER_BACKEND_HEAD_BYTES"),
            fields: (fields, "RETTER_BACKEND_HEAD_FIELDS"),
        }
    }
}

/// A line for the log.
#[derive(Debug)]
pub(crate) struct Told {
    /// Whether an operator can or should do something about it. Odd requests come from anywhere.
    pub(crate) is_ours: bool,
    pub(crate) text: String,
}

impl Broken {
    /// What to log of this exchange, where something was broken.
    pub(crate) fn note(
        &self,
        report: &Report,
        of_requests: impl FnOnce() -> HeadLimits,
        of_answers: impl FnOnce() -> HeadLimits,
    ) -> Option<Told> {
        let is_due = |told: &[Seldom; KINDS], error: ProtocolError| {
            let seldom = told.get(error as usize);
            seldom.is_none_or(|seldom| seldom.is_due(report.ended))
        };
        if let Some(error) = report.broken {
            if !is_due(&self.clients, error) {
                return None;
            }
            let limits = of_requests();
            let asked = asked(report).map(|asked| format!(" ({asked})"));
            let asked = asked.unwrap_or_else(|| called(report));
            let status = error.status_hint().as_u16();
            return Some(Told {
                is_ours: advice(error, &limits).is_some(),
                text: format!(
                    "a request from {}{asked} was refused with {status}: it {}",
                    report.client,
                    sentence(error, &limits, None)
                ),
            });
        }
        let error = report.origin.as_ref()?.broken?;
        if !is_due(&self.application, error) {
            return None;
        }
        let asked = asked(report).map_or_else(String::new, |asked| format!(" to {asked}"));
        Some(Told {
            is_ours: true,
            text: format!(
                "the application's answer{asked} {}",
                sentence(error, &of_answers(), cause(error))
            ),
        })
    }
}

/// What it is that has `error`, and what helps: the end of a sentence.
fn sentence(error: ProtocolError, limits: &HeadLimits, cause: Option<&str>) -> String {
    let advice = advice(error, limits).or_else(|| cause.map(str::to_owned));
    let advice = advice.map_or_else(String::new, |advice| format!(": {advice}"));
    format!(
        "{}{advice}; told at most once a minute",
        predicate(error, limits)
    )
}

/// What is wrong with what has `error`.
fn predicate(error: ProtocolError, limits: &HeadLimits) -> Cow<'static, str> {
    use ProtocolError as E;
    let (bytes, fields) = (limits.bytes.0, limits.fields.0);
    Cow::Borrowed(match error {
        E::BareCrOrLf => "has a line that does not end with CR LF",
        E::ChunkExtTooLong => {
            return format!(
                "has more than {CHUNK_EXT_BYTES_MAX} bytes of chunk extensions, or of zeros before \
                 chunk sizes"
            )
            .into();
        }
        E::ContentLengthAndTransferEncoding => "has both Content-Length and Transfer-Encoding",
        E::HeadTooLarge => return format!("has a head of more than {bytes} bytes").into(),
        E::InvalidChunk => "has a chunk with no valid size, or of another length than it says",
        E::InvalidContentLength => "has a Content-Length that is not one number",
        E::InvalidField => {
            "has a field line that is not valid: its name, white space around that, a control \
             character, or a second line that continues it"
        }
        E::InvalidHost => "has a Host that is repeated, not valid, or not that of its target",
        E::InvalidRequestLine => {
            "does not begin with a request line (TLS and HTTP/2 do not belong on this port)"
        }
        E::InvalidStatusLine => "does not begin with an HTTP/1.1 status line",
        E::InvalidTarget => "has a target that is not valid",
        E::InvalidTransferEncoding => "has a Transfer-Encoding that does not end with one chunked",
        E::MissingHost => "has no Host",
        E::RepeatedContentLength => "repeats Content-Length",
        E::TargetTooLong => return format!("has a target of more than {bytes} bytes").into(),
        E::TooManyFields => return format!("has more than {fields} fields").into(),
        E::TooManyInterim => {
            return format!("comes behind more than {INTERIM_MAX} interim answers").into();
        }
        E::TrailersTooLarge => {
            return format!("has trailers of more than {TRAILER_BYTES_MAX} bytes").into();
        }
        E::TransferEncodingInHttp10 => "has a Transfer-Encoding, and is of HTTP/1.0",
        E::UnexpectedEof => "breaks off",
        E::UnexpectedUpgrade => "changes to another protocol (101), which nobody asked for",
        E::UnknownTransferCoding => "has a transfer coding other than chunked",
        E::UnsolicitedResponse => "began before it was asked for",
        E::UnsupportedVersion => "is of a version of HTTP other than 1.0 and 1.1",
    })
}

/// What an operator can do about `error`, if a setting helps.
fn advice(error: ProtocolError, limits: &HeadLimits) -> Option<String> {
    use ProtocolError as E;
    match error {
        E::HeadTooLarge | E::TargetTooLong if limits.bytes.0 < HEAD_BYTES_CEILING => Some(format!(
            "{} allows more, up to {HEAD_BYTES_CEILING}",
            limits.bytes.1
        )),
        E::HeadTooLarge | E::TargetTooLong => Some("no setting allows more".to_owned()),
        E::TooManyFields => Some(format!("{} allows more", limits.fields.1)),
        E::InvalidStatusLine => Some(
            "RETTER_BACKEND_BASEURL must lead to a port that speaks plain HTTP/1.1, not TLS or \
             another protocol"
                .to_owned(),
        ),
        E::BareCrOrLf
        | E::ChunkExtTooLong
        | E::ContentLengthAndTransferEncoding
        | E::InvalidChunk
        | E::InvalidContentLength
        | E::InvalidField
        | E::InvalidHost
        | E::InvalidRequestLine
        | E::InvalidTarget
        | E::InvalidTransferEncoding
        | E::MissingHost
        | E::RepeatedContentLength
        | E::TooManyInterim
        | E::TrailersTooLarge
        | E::TransferEncodingInHttp10
        | E::UnexpectedEof
        | E::UnexpectedUpgrade
        | E::UnknownTransferCoding
        | E::UnsolicitedResponse
        | E::UnsupportedVersion => None,
    }
}

/// Where in an application `error` usually comes from, and what to do there.
const fn cause(error: ProtocolError) -> Option<&'static str> {
    use ProtocolError as E;
    Some(match error {
        E::ContentLengthAndTransferEncoding
        | E::InvalidContentLength
        | E::InvalidTransferEncoding
        | E::RepeatedContentLength
        | E::TransferEncodingInHttp10
        | E::UnknownTransferCoding => {
            "where it ends can be read in two ways, so it was not passed on; a script, plugin or \
             middleware of the application sets this field by hand, which is its server's to set"
        }
        E::BareCrOrLf | E::InvalidField => {
            "a script, plugin or middleware of the application writes this line by hand, perhaps \
             with what a user has typed in it"
        }
        E::ChunkExtTooLong | E::InvalidChunk | E::TrailersTooLarge => {
            "a script of the application writes chunked content by hand, which is its server's to \
             write"
        }
        E::UnsolicitedResponse => {
            "the answer before it, on the same connection, had more content than its Content-Length \
             says, or was to a HEAD and had some"
        }
        E::UnexpectedUpgrade | E::TooManyInterim | E::UnsupportedVersion => {
            "is RETTER_BACKEND_BASEURL the port of the application, and does that speak HTTP/1.1?"
        }
        E::HeadTooLarge
        | E::InvalidHost
        | E::InvalidRequestLine
        | E::InvalidStatusLine
        | E::InvalidTarget
        | E::MissingHost
        | E::TargetTooLong
        | E::TooManyFields
        | E::UnexpectedEof => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use retter_core::event::OriginReport;
    use retter_core::message::{Fields, RequestHead};
    use retter_core::report::Failure;
    use retter_core::request_id::RequestId;
    use retter_core::time::Instant;

    use super::*;
    use crate::settings;
    use crate::telemetry::sample;

    const REQUESTS: HeadLimits = HeadLimits::of_requests(16_384, 100);
    const ANSWERS: HeadLimits = HeadLimits::of_answers(61_440, 200);

    fn of_client(error: ProtocolError, secs: u64) -> Report {
        Report {
            broken: Some(error),
            ended: Instant::from_epoch(Duration::from_secs(secs)),
            ..sample::report()
        }
    }

    fn of_application(error: ProtocolError) -> Report {
        let request = RequestHead::new(http::Method::GET, "/x?secret", Fields::default());
        Report {
            origin: Some(OriginReport {
                broken: Some(error),
                failure: Some(Failure::Protocol),
                ..sample::origin()
            }),
            request: Some(Arc::new(request)),
            request_id: RequestId::clean(b"f3a9"),
            ..sample::report()
        }
    }

    fn told(report: &Report) -> Told {
        let told = Broken::default().note(report, || REQUESTS, || ANSWERS);
        told.expect("it is the first")
    }

    #[test]
    fn a_line_says_what_was_broken_by_whom_and_what_helps() {
        use ProtocolError as E;
        for (error, expected) in [
            (
                E::HeadTooLarge,
                "has a head of more than 61440 bytes: RETTER_BACKEND_HEAD_BYTES allows more, up \
                 to 65535",
            ),
            (
                E::TooManyFields,
                "has more than 200 fields: RETTER_BACKEND_HEAD_FIELDS allows more",
            ),
            (
                E::RepeatedContentLength,
                "repeats Content-Length: where it ends can be read in two ways, so it was not passed \
                 on; a script, plugin or middleware of the application sets this field by hand, \
                 which is its server's to set",
            ),
            (
                E::InvalidStatusLine,
                "does not begin with an HTTP/1.1 status line: RETTER_BACKEND_BASEURL must lead to \
                 a port that speaks plain HTTP/1.1, not TLS or another protocol",
            ),
        ] {
            let told = told(&of_application(error));
            let expected = format!(
                "the application's answer to GET /x [request f3a9] {expected}; told at most once a minute"
            );
            assert_eq!((told.is_ours, told.text), (true, expected));
        }
        for (error, is_ours, expected) in [
            (
                E::HeadTooLarge,
                true,
                "431: it has a head of more than 16384 bytes: RETTER_SERVER_HEAD_BYTES allows \
                 more, up to 65535",
            ),
            (
                E::TooManyFields,
                true,
                "431: it has more than 100 fields: RETTER_SERVER_HEAD_FIELDS allows more",
            ),
            (
                E::TargetTooLong,
                true,
                "414: it has a target of more than 16384 bytes: RETTER_SERVER_HEAD_BYTES allows \
                 more, up to 65535",
            ),
            (E::MissingHost, false, "400: it has no Host"),
            (
                E::InvalidRequestLine,
                false,
                "400: it does not begin with a request line (TLS and HTTP/2 do not belong on this \
                 port)",
            ),
        ] {
            let told = told(&of_client(error, 0));
            let expected = format!(
                "a request from 192.0.2.1 was refused with {expected}; told at most once a minute"
            );
            assert_eq!((told.is_ours, told.text), (is_ours, expected));
        }
        let mut known = of_application(E::InvalidChunk);
        (known.broken, known.origin) = (Some(E::InvalidChunk), None);
        let text = told(&known).text;
        assert!(
            text.contains("from 192.0.2.1 (GET /x [request f3a9]) was refused"),
            "{text}"
        );
    }

    #[test]
    fn each_kind_is_told_once_a_minute_of_each_side() {
        let broken = Broken::default();
        let note = |report: &Report| broken.note(report, || REQUESTS, || ANSWERS).is_some();
        assert!(note(&of_client(ProtocolError::InvalidChunk, 5)));
        assert!(!note(&of_client(ProtocolError::InvalidChunk, 64)));
        assert!(note(&of_client(ProtocolError::MissingHost, 64)));
        assert!(note(&of_application(ProtocolError::InvalidChunk)));
        assert!(note(&of_client(ProtocolError::InvalidChunk, 65)));
        assert!(!note(&sample::report()));
    }

    #[test]
    fn all_kinds_have_words_and_settings_that_exist() {
        let table = settings::markdown();
        for error in ProtocolError::ALL {
            for report in [of_client(error, 0), of_application(error)] {
                let text = told(&report).text;
                let names = text
                    .split(|letter: char| !letter.is_ascii_uppercase() && letter != '_')
                    .filter(|word| word.starts_with("RETTER_"));
                for name in names {
                    assert!(table.contains(&format!("`{name}`")), "{name}");
                }
            }
        }
        let widest = HeadLimits::of_answers(HEAD_BYTES_CEILING, 1000);
        let text = sentence(ProtocolError::HeadTooLarge, &widest, None);
        assert!(text.contains("no setting allows more"), "{text}");
    }
}
