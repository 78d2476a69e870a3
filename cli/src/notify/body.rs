//! Owns [`Message`]: what is told of an outage, in the forms that receivers understand.
//! Never sends it.

use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::outage::{Record, length};

/// Until when an alert counts that is not repeated: longer than the time between two.
const ALERT_COUNTS: Duration = Duration::from_secs(35 * 60);

/// Why somebody is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Begun,
    GoesOn,
    Over,
    /// Somebody wants to see whether messages arrive.
    Test,
}

/// What is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    /// Which application, as its address.
    pub(crate) application: String,
    pub(crate) kind: Kind,
    pub(crate) outage: Record,
}

/// What the receiver of an HTTP request understands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    Alertmanager,
    Discord,
    Generic,
    Ntfy,
    Slack,
}

impl Format {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "alertmanager" => Ok(Self::Alertmanager),
            "discord" => Ok(Self::Discord),
            "generic" => Ok(Self::Generic),
            "ntfy" => Ok(Self::Ntfy),
            "slack" => Ok(Self::Slack),
            other => Err(format!("`{other}` is none of them")),
        }
    }
}

/// A request's content, with what its head says.
#[derive(Debug, PartialEq)]
pub(super) struct Body {
    pub(super) content: String,
    pub(super) media_type: &'static str,
    pub(super) fields: Vec<(&'static str, &'static str)>,
}

impl Message {
    /// A message that says that messages arrive.
    pub(crate) fn test(application: String) -> Self {
        Self {
            application,
            kind: Kind::Test,
            outage: Record::default(),
        }
    }

    const fn title(&self) -> &'static str {
        match self.kind {
            Kind::Begun => "The application is down",
            Kind::GoesOn => "The application is still down",
            Kind::Over => "The application is back",
            Kind::Test => "A test: messages of RETTER arrive here",
        }
    }

    /// A sentence or two.
    pub(super) fn text(&self) -> String {
        let Record {
            began,
            cause,
            seconds,
            ..
        } = &self.outage;
        let (application, length) = (&self.application, length(*seconds));
        match self.kind {
            Kind::Begun | Kind::GoesOn => format!(
                "{application} has been down since {began} ({length}): {cause}. {}.",
                self.outage.counts()
            ),
            Kind::Over => format!(
                "{application} was down for {length} from {began} on: {cause}. {}.",
                self.outage.counts()
            ),
            Kind::Test => format!("RETTER in front of {application} sends messages here."),
        }
    }

    /// Everything, for a program.
    pub(super) fn generic(&self) -> String {
        let event = match self.kind {
            Kind::Begun => "begun",
            Kind::GoesOn => "goes-on",
            Kind::Over => "over",
            Kind::Test => "test",
        };
        let outage = (self.kind != Kind::Test).then_some(&self.outage);
        json!({
            "event": event,
            "title": self.title(),
            "text": self.text(),
            "application": self.application,
            "outage": outage,
        })
        .to_string()
    }

    pub(super) fn body(&self, format: Format, now: SystemTime) -> Body {
        let json = "application/json";
        let plain = |content: String| Body {
            content,
            media_type: json,
            fields: Vec::new(),
        };
        let both = || format!("{}. {}", self.title(), self.text());
        match format {
            Format::Alertmanager => plain(self.alert(now)),
            Format::Discord => plain(
                // Nobody is named by what a path says.
                json!({ "content": both(), "allowed_mentions": { "parse": [] } }).to_string(),
            ),
            Format::Generic => plain(self.generic()),
            Format::Ntfy => Body {
                content: self.text(),
                media_type: "text/plain; charset=utf-8",
                fields: vec![
                    ("Title", self.title()),
                    ("Priority", if self.kind == Kind::Begun { "5" } else { "3" }),
                    (
                        "Tags",
                        if self.is_good() {
                            "white_check_mark"
                        } else {
                            "rotating_light"
                        },
                    ),
                ],
            },
            Format::Slack => plain(json!({ "text": escape_slack(&both()) }).to_string()),
        }
    }

    const fn is_good(&self) -> bool {
        matches!(self.kind, Kind::Over | Kind::Test)
    }

    /// As the second version of Alertmanager's interface takes it.
    fn alert(&self, now: SystemTime) -> String {
        let shown = |at| humantime::format_rfc3339_seconds(at).to_string();
        let starts = match self.kind {
            Kind::Test => shown(now),
            Kind::Begun | Kind::GoesOn | Kind::Over => self.outage.began.clone(),
        };
        let ends = match (self.kind, &self.outage.ended) {
            (Kind::Over, Some(ended)) => ended.clone(),
            (Kind::Over | Kind::Test, _) => shown(now),
            (Kind::Begun | Kind::GoesOn, _) => shown(now + ALERT_COUNTS),
        };
        json!([{
            "labels": {
                "alertname": if self.kind == Kind::Test { "RetterTest" } else { "RetterOutage" },
                "severity": "critical",
                "application": self.application,
            },
            "annotations": { "summary": self.title(), "description": self.text() },
            "startsAt": starts,
            "endsAt": ends,
        }])
        .to_string()
    }
}

/// Slack reads three letters as marks.
fn escape_slack(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn message(kind: Kind) -> Message {
        Message {
            application: "shop:80".to_owned(),
            kind,
            outage: Record {
                began: "2026-01-01T00:00:00Z".to_owned(),
                cause: "5 <connect> failures in a row".to_owned(),
                ended: (kind == Kind::Over).then(|| "2026-01-01T00:10:00Z".to_owned()),
                seconds: 600,
                ..Record::default()
            },
        }
    }

    #[track_caller]
    fn json(kind: Kind, format: Format) -> serde_json::Value {
        let body = message(kind).body(format, UNIX_EPOCH);
        assert_eq!(body.media_type, "application/json");
        serde_json::from_str(&body.content).unwrap()
    }

    #[test]
    fn each_receiver_gets_what_it_understands() {
        let generic = json(Kind::Begun, Format::Generic);
        assert_eq!(generic["event"], "begun");
        assert_eq!(generic["outage"]["seconds"], 600);
        assert!(json(Kind::Test, Format::Generic)["outage"].is_null());
        let slack = json(Kind::Begun, Format::Slack);
        let text = slack["text"].as_str().unwrap();
        assert!(
            text.starts_with("The application is down. shop:80 "),
            "{text}"
        );
        assert!(text.contains("5 &lt;connect&gt; failures"), "{text}");
        let discord = json(Kind::Over, Format::Discord);
        assert!(discord["content"].as_str().unwrap().contains("is back"));
        let ntfy = message(Kind::Begun).body(Format::Ntfy, UNIX_EPOCH);
        assert!(ntfy.content.contains("since 2026-01-01T00:00:00Z (10m)"));
        assert!(ntfy.fields.contains(&("Priority", "5")));
    }

    #[test]
    fn an_alert_counts_until_the_next_message_and_ends_with_the_outage() {
        let begun = &json(Kind::Begun, Format::Alertmanager)[0];
        assert_eq!(begun["startsAt"], "2026-01-01T00:00:00Z");
        assert_eq!(begun["endsAt"], "1970-01-01T00:35:00Z");
        let over = &json(Kind::Over, Format::Alertmanager)[0];
        assert_eq!(over["endsAt"], "2026-01-01T00:10:00Z");
        assert_eq!(begun["labels"], over["labels"], "it is the same alert");
    }
}
