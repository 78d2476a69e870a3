//! Owns what an operator decides over the admin address in the place of the circuits: `/circuit`,
//! `/maintenance` and `/probe`.
//! Never decides who may ask, and never what a decision means for a request: that is the core's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use retter_core::breaker::State;
use retter_core::site::{Manual, Override};
use serde::Serialize;

use super::query;
use crate::settings;
use crate::telemetry::{Telemetry, escape};
use crate::web::{Request, Response};

/// What is decided without a time ends after this one: nobody thinks of it later.
const USUAL: Duration = Duration::from_secs(30 * 60);
/// The longest time: a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// A message is a sentence or two on a page.
const MESSAGE_LETTERS_MAX: usize = 500;

const CIRCUIT: &str = "\
Decides by hand what the circuits do else. Without `for` it ends after 30 minutes.

  POST /circuit?state=open&for=30m    copies answer what is only read, writes go to the application
  POST /circuit?state=closed&for=30m  nothing is refused; copies still rescue what fails
  POST /circuit?state=auto            what the circuits decide counts again
";

const MAINTENANCE: &str = "\
Copies answer what is only read; writes are refused with a page of their own; nothing is probed.
Without `for` it ends after 30 minutes.

  POST /maintenance?state=on&for=20m&message=Back%20at%20five   the message is for visitors
  POST /maintenance?state=off
";

/// A decision by hand, to be shown.
#[derive(Serialize)]
pub(super) struct ByHand {
    state: &'static str,
    since: String,
    until: Option<String>,
    left_seconds: Option<u64>,
    message: Option<String>,
}

impl ByHand {
    /// What counts now.
    pub(super) fn read(telemetry: &Telemetry) -> Option<Self> {
        let clock = telemetry.clock();
        let now = clock.now();
        let Override {
            manual,
            since,
            until,
        } = telemetry.site().by_hand(now)?;
        let left = until.map(|until| until.saturating_since(now));
        Some(Self {
            state: manual.as_str(),
            since: humantime::format_rfc3339_seconds(clock.wall(since)).to_string(),
            until: left.map(|left| {
                let at = std::time::SystemTime::now() + left;
                humantime::format_rfc3339_seconds(at).to_string()
            }),
            left_seconds: left.map(|left| left.as_secs()),
            message: match manual {
                Manual::Maintenance { message } => message.as_deref().map(str::to_owned),
                Manual::Closed | Manual::Open => None,
            },
        })
    }
}

impl fmt::Display for ByHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state)?;
        if let Some(until) = &self.until {
            write!(f, " until {until}")?;
        }
        match &self.message {
            Some(message) => write!(f, ": {}", escape(message.as_bytes())),
            None => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct Decided {
    by_hand: Option<ByHand>,
}

#[derive(Serialize)]
struct Probed {
    /// The circuit of the application as the probes find it.
    circuit: &'static str,
    what: &'static str,
}

/// Answers one request for `/circuit`.
pub(super) fn circuit(request: &Request, telemetry: &Telemetry) -> Response {
    decide(request, telemetry, CIRCUIT, |wish| {
        if wish.message.is_some() {
            return Err("only maintenance has a message".to_owned());
        }
        match wish.state.as_str() {
            "auto" => Ok(None),
            "closed" => Ok(Some(Manual::Closed)),
            "open" => Ok(Some(Manual::Open)),
            other => Err(format!("`{other}` is none of open, closed, auto")),
        }
    })
}

/// Answers one request for `/maintenance`.
pub(super) fn maintenance(request: &Request, telemetry: &Telemetry) -> Response {
    decide(request, telemetry, MAINTENANCE, |wish| {
        match wish.state.as_str() {
            "off" => Ok(None),
            "on" => Ok(Some(Manual::Maintenance {
                message: wish.message.as_deref().map(Arc::from),
            })),
            other => Err(format!("`{other}` is neither on nor off")),
        }
    })
}

/// Answers one request for `/probe`.
pub(super) fn probe(request: &Request, telemetry: &Telemetry) -> Response {
    if request.method != "POST" {
        let text = "POST /probe probes every circuit that is open at once.\n";
        return Response::text(405, text).with("Allow", "POST");
    }
    let (site, now) = (telemetry.site(), telemetry.clock().now());
    if let Some(decided) = site.by_hand(now)
        && decided.manual != Manual::Closed
    {
        let text = format!(
            "Nothing is probed while the state is `{}` by hand; POST /circuit?state=auto ends that.\n",
            decided.manual.as_str()
        );
        return Response::text(409, text);
    }
    let stats = site.stats(now);
    let is_calm = stats.circuit == State::Closed && stats.paths_open == 0;
    let what = if is_calm {
        "all circuits are closed: there is nothing to probe"
    } else {
        tracing::info!("by hand: probing");
        site.probe_now(now);
        "probing"
    };
    let circuit = site.circuit(now).as_str();
    json(&Probed { circuit, what })
}

/// What a query wishes for.
struct Wish {
    message: Option<String>,
    state: String,
    time: Duration,
}

impl Wish {
    fn parse(query: &str) -> Result<Self, String> {
        let pairs = query::pairs(query).ok_or("the query is not percent-encoded UTF-8")?;
        let mut wish = Self {
            message: None,
            state: String::new(),
            time: USUAL,
        };
        for (name, value) in pairs {
            match name {
                "for" => wish.time = time(&value)?,
                "message" => wish.message = message(&value)?,
                "state" => wish.state = value,
                other => return Err(format!("there is no `{other}`")),
            }
        }
        Ok(wish)
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let time = settings::duration(text)?;
    let fits = (Duration::from_secs(1)..=LONGEST).contains(&time);
    fits.then_some(time)
        .ok_or_else(|| format!("`{text}` is outside 1s to 7days"))
}

fn message(text: &str) -> Result<Option<String>, String> {
    let text = text.trim();
    if text.chars().count() > MESSAGE_LETTERS_MAX {
        return Err(format!(
            "the message is longer than {MESSAGE_LETTERS_MAX} letters"
        ));
    }
    if text.chars().any(char::is_control) {
        return Err("the message has control characters".to_owned());
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn decide(
    request: &Request,
    telemetry: &Telemetry,
    usage: &'static str,
    read: impl FnOnce(&Wish) -> Result<Option<Manual>, String>,
) -> Response {
    if request.method != "POST" {
        return Response::text(405, usage).with("Allow", "POST");
    }
    let wish = Wish::parse(&request.query);
    let wished = wish.and_then(|wish| Ok((read(&wish)?, wish.time)));
    let (manual, time) = match wished {
        Ok(wished) => wished,
        Err(reason) => {
            return Response::text(400, format!("{}.\n\n{usage}", escape(reason.as_bytes())));
        }
    };
    let now = telemetry.clock().now();
    tracing::info!("by hand: {}", words(manual.as_ref(), time));
    telemetry
        .site()
        .decide_by_hand(manual.map(|manual| Override {
            manual,
            since: now,
            until: Some(now + time),
        }));
    let by_hand = ByHand::read(telemetry);
    json(&Decided { by_hand })
}

fn words(manual: Option<&Manual>, time: Duration) -> String {
    let time = humantime::format_duration(time);
    match manual {
        None => "the circuits decide again".to_owned(),
        Some(Manual::Closed) => {
            format!("circuit closed for {time}: nothing is refused, copies still rescue what fails")
        }
        Some(Manual::Maintenance { .. }) => format!(
            "maintenance for {time}: copies answer what is only read, writes are refused, nothing is \
             probed"
        ),
        Some(Manual::Open) => format!(
            "circuit open for {time}: copies answer what is only read, writes go to the application"
        ),
    }
}

fn json(value: &impl Serialize) -> Response {
    let json = serde_json::to_string(value).unwrap_or_default();
    Response::new(200, "application/json", json + "\n")
}
