//! Owns the commands that tell a running instance what to do, and what is shown of its answers.
//! Never decides what may be done: the instance does.

use std::process::ExitCode;

use http::Method;

use crate::notify::Message;
use crate::settings::Loaded;
use crate::telemetry::escape;
use crate::{admin, failed, instance, out};

/// What the instance is to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// Say which copies there are.
    Copies {
        limit: Option<String>,
        prefix: Option<String>,
    },
    /// Leave it to the circuits again, or not, for a time.
    Circuit {
        state: &'static str,
        time: Option<String>,
    },
    /// Begin or end maintenance.
    Maintenance {
        is_on: bool,
        message: Option<String>,
        time: Option<String>,
    },
    /// Probe what is open.
    Probe,
    /// Drop copies: the name of what is chosen, and its value.
    Purge {
        by: &'static str,
        value: Option<String>,
    },
    /// Read the settings file again.
    Reload { drops_copies: bool },
    /// Say how things are.
    Status { json: bool },
}

impl Order {
    /// How it is said over HTTP.
    fn request(&self) -> (Method, String) {
        let mut query = Query::default();
        let path = match self {
            Self::Circuit { state, time } => {
                query.put("state", Some(state));
                query.put("for", time.as_deref());
                "/circuit"
            }
            Self::Copies { limit, prefix } => {
                query.put("prefix", prefix.as_deref());
                query.put("limit", limit.as_deref());
                return (Method::GET, format!("/copies{}", query.0));
            }
            Self::Maintenance {
                is_on,
                message,
                time,
            } => {
                query.put("state", Some(if *is_on { "on" } else { "off" }));
                query.put("for", time.as_deref());
                query.put("message", message.as_deref());
                "/maintenance"
            }
            Self::Probe => "/probe",
            Self::Purge { by, value } => {
                query.put(by, Some(value.as_deref().unwrap_or_default()));
                "/purge"
            }
            Self::Reload { drops_copies: true } => {
                return (Method::POST, "/reload?drop-copies".into());
            }
            Self::Reload {
                drops_copies: false,
            } => "/reload",
            Self::Status { json: true } => return (Method::GET, "/health".into()),
            Self::Status { json: false } => return (Method::GET, "/status".into()),
        };
        (Method::POST, format!("{path}{}", query.0))
    }

    /// What is shown of the answer.
    fn words(&self, text: &str) -> String {
        let json = serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
        let word = |value: &serde_json::Value| {
            let text = value.as_str().unwrap_or_default();
            escape(text.as_bytes())
        };
        match self {
            Self::Circuit { .. } | Self::Maintenance { .. } => {
                let by_hand = &json["by_hand"];
                match by_hand["state"].is_string() {
                    true => format!(
                        "{} by hand until {}",
                        word(&by_hand["state"]),
                        word(&by_hand["until"])
                    ),
                    false => "the circuits decide".to_owned(),
                }
            }
            Self::Probe => format!(
                "{}; circuit {}",
                word(&json["what"]),
                word(&json["circuit"])
            ),
            Self::Purge { .. } => {
                format!("{} copies dropped: {}", json["purged"], word(&json["what"]))
            }
            Self::Copies { .. } | Self::Reload { .. } | Self::Status { .. } => {
                text.trim_end().to_owned()
            }
        }
    }
}

/// A query as it grows.
#[derive(Default)]
struct Query(String);

impl Query {
    fn put(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else {
            return;
        };
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        if !value.is_empty() {
            self.0.push('=');
            self.0.push_str(&admin::encode(value));
        }
    }
}

/// Tells the instance, and shows what it says.
pub(crate) fn run(loaded: &Loaded, order: &Order) -> ExitCode {
    let (method, target) = order.request();
    match instance::ask(loaded, &method, &target) {
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body);
            match answer.status {
                200 => {
                    out::line(format_args!("{}", order.words(&text)));
                    ExitCode::SUCCESS
                }
                _ => failed(format_args!("{}", text.trim_end())),
            }
        }
        Err(error) => failed(format_args!("{error}")),
    }
}

/// Sends a test message to all who are told of outages.
pub(crate) fn test_messages(loaded: &Loaded) -> ExitCode {
    let receivers = loaded.values.notify.receivers();
    if receivers.is_empty() {
        return failed(format_args!(
            "nobody is told of outages: set RETTER_NOTIFY_COMMAND or RETTER_NOTIFY_URL"
        ));
    }
    let message = Message::test(loaded.values.origin.authority.clone());
    let mut code = ExitCode::SUCCESS;
    for receiver in receivers {
        let setting = receiver.setting();
        match receiver.send(&message) {
            Ok(()) => out::line(format_args!("{setting}: the message was taken")),
            Err(error) => {
                let error = escape(error.to_string().as_bytes());
                code = failed(format_args!("{setting}: {error}"));
            }
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_over_http() {
        let own = |text: &str| Some(text.to_owned());
        #[track_caller]
        fn check(order: &Order, expected: &str) {
            let (method, target) = order.request();
            assert_eq!(format!("{method} {target}"), expected);
        }
        let (state, time) = ("open", own("30m"));
        check(
            &Order::Circuit { state, time },
            "POST /circuit?state=open&for=30m",
        );
        let order = Order::Maintenance {
            is_on: true,
            message: own("back at 5 & not before"),
            time: None,
        };
        check(
            &order,
            "POST /maintenance?state=on&message=back%20at%205%20%26%20not%20before",
        );
        check(&Order::Probe, "POST /probe");
        let by = "all";
        check(&Order::Purge { by, value: None }, "POST /purge?all");
        let (by, value) = ("url", own("/a?b=c"));
        check(&Order::Purge { by, value }, "POST /purge?url=/a%3Fb%3Dc");
        check(&Order::Status { json: true }, "GET /health");
        let (limit, prefix) = (own("5"), own("/shop/"));
        check(
            &Order::Copies { limit, prefix },
            "GET /copies?prefix=/shop/&limit=5",
        );
    }

    #[test]
    fn answers_in_words() {
        let order = Order::Circuit {
            state: "open",
            time: None,
        };
        let told = r#"{"by_hand":{"state":"open","until":"2026-01-01T00:00:00Z"}}"#;
        assert_eq!(order.words(told), "open by hand until 2026-01-01T00:00:00Z");
        assert_eq!(order.words(r#"{"by_hand":null}"#), "the circuits decide");
        let order = Order::Purge {
            by: "all",
            value: None,
        };
        let told = r#"{"purged":3,"what":"every page"}"#;
        assert_eq!(order.words(told), "3 copies dropped: every page");
    }
}
