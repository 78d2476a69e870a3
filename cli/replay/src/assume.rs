//! Owns what is assumed where a log is silent.
//! Never assumes anything that it does not say: [`Assumptions::told`] is part of the output.

use std::fmt;
use std::time::Duration;

/// What is assumed where a log is silent.
#[derive(Clone, Debug, PartialEq)]
pub struct Assumptions {
    /// `Cache-Control` of every answer in a log that does not tell it.
    pub cache_control: Option<String>,
    /// 502 and 504 come from a proxy before the application.
    pub gateway_errors: bool,
    /// How long an answer takes in a log that does not tell it.
    pub origin_time: Duration,
    /// Who shares copies, in a log without cookies.
    pub sessions: Sessions,
    /// What an application that was not asked would have done.
    pub unasked: Unasked,
}

/// Who shares copies, in a log without cookies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sessions {
    /// Everybody sees the same pages.
    None,
    /// Each address with each user agent is a user of its own.
    Visitor,
}

/// What an application that was not asked would have done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unasked {
    /// It would have failed.
    Fails,
    /// As when it was last asked.
    Last,
    /// It would have answered.
    Works,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            cache_control: None,
            gateway_errors: true,
            origin_time: Duration::from_millis(100),
            sessions: Sessions::Visitor,
            unasked: Unasked::Last,
        }
    }
}

impl Sessions {
    /// The words that [`parse`](Self::parse) knows.
    pub const NAMES: [&str; 2] = ["none", "visitor"];

    /// The value of a word; `None` where it has none.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            "visitor" => Some(Self::Visitor),
            _ => None,
        }
    }
}

impl Unasked {
    /// The words that [`parse`](Self::parse) knows.
    pub const NAMES: [&str; 3] = ["fails", "last", "works"];

    /// The value of a word; `None` where it has none.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "fails" => Some(Self::Fails),
            "last" => Some(Self::Last),
            "works" => Some(Self::Works),
            _ => None,
        }
    }
}

/// Which forms of lines a log had.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Forms {
    pub(super) combined: bool,
    pub(super) json: bool,
    /// There were lines for which the application was not asked.
    pub(super) unasked: bool,
}

impl Assumptions {
    /// What was assumed of a log, a sentence each; with the flag that changes it.
    pub(super) fn told(&self, forms: Forms) -> Vec<String> {
        let mut told = Vec::new();
        let mut tell = |text: fmt::Arguments<'_>| told.push(text.to_string());
        if forms.combined {
            self.tell_of_combined(&mut tell);
        }
        if forms.json {
            tell(format_args!(
                "users are told apart as they were when the log was written, whatever the \
                 settings for cookies"
            ));
            tell(format_args!(
                "two answers to one URL are the same page when they have the same ETag, else \
                 Last-Modified, else length"
            ));
            tell(format_args!(
                "what timed out would have done so with any time-out"
            ));
        }
        if forms.unasked {
            let time = humantime::format_duration(self.origin_time);
            let done = match self.unasked {
                Unasked::Fails => "failed",
                Unasked::Last => "done as when it was last asked for that page, or for any",
                Unasked::Works => "answered",
            };
            tell(format_args!(
                "where the application was not asked it would have {done} (--assume-unasked), and \
                 where it was well it would have taken {time} (--assume-origin-time)"
            ));
        }
        tell(format_args!(
            "in the background it answers as when it was last asked, as fast as the fastest of its \
             last three answers, with the last page that it sent to that user; after a day without a \
             line it is not asked"
        ));
        tell(format_args!(
            "no request waits for an application that takes no connections: what it would have been \
             answered is not in the log"
        ));
        tell(format_args!(
            "users send the same requests whatever they get, without conditions and ranges, and \
             the rest of a request does not matter (Vary)"
        ));
        told
    }

    /// The form has neither times, nor cookies, nor directives.
    fn tell_of_combined(&self, tell: &mut dyn FnMut(fmt::Arguments<'_>)) {
        let time = humantime::format_duration(self.origin_time);
        let slow = if self.gateway_errors {
            "only what timed out (504) was slow"
        } else {
            "nothing shows that it was slow"
        };
        tell(format_args!(
            "each answer began and ended after {time}, and each user who left did so then, as the \
             log has no times: {slow} (--assume-origin-time)"
        ));
        tell(format_args!(
            "{}",
            match self.sessions {
                Sessions::None =>
                    "everybody sees the same pages, but for names that the server checked \
                 (--assume-sessions)",
                Sessions::Visitor =>
                    "each address with each user agent is a user with pages of their own, as the \
                 log has no cookies: with fewer of them more is rescued (--assume-sessions)",
            }
        ));
        match &self.cache_control {
            Some(value) => tell(format_args!(
                "each answer has Cache-Control: {value} (--assume-cache-control)"
            )),
            None => tell(format_args!(
                "no answer has Cache-Control, so each may be kept and none is fresh \
                 (--assume-cache-control)"
            )),
        }
        if self.gateway_errors {
            tell(format_args!(
                "502 is a connection that failed and 504 a timeout, whatever the time-out, told by a \
                 proxy before the application (--assume-gateway-errors)"
            ));
        } else {
            tell(format_args!(
                "502 and 504 are the application's own answers (--assume-gateway-errors)"
            ));
        }
        tell(format_args!(
            "two answers to one URL are the same page when they have the same length, and 304 says \
             that a copy is right"
        ));
        tell(format_args!("no answer starts or ends a session"));
        tell(format_args!(
            "the time of a line is when its request came, though nginx writes when it ended; the \
             requests of one second came in their order, evenly spread over it"
        ));
    }
}
