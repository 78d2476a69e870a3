//! Owns the dashboard: its page, which nobody needs a token for, and the JSON that it shows.
//! Never has anything from elsewhere, and nothing that has to be built.

use retter_core::breaker::State;
use retter_core::report::{CoverageCounts, Stats};
use retter_core::site::{Manual, Override};
use serde::Serialize;

use super::by_hand::ByHand;
use super::health::{OnDisk, WithOthers};
use crate::clock::millis;
use crate::outage::{Told, length};
use crate::telemetry::{Answers, Log, Telemetry, coverage, queries, undeclared};
use crate::web::Response;

const PAGE: &str = include_str!("dashboard/page.html");
const SCRIPT: &str = include_str!("dashboard/script.js");
const STYLE: &str = include_str!("dashboard/style.css");

/// Nothing but what this address itself sends.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Whether a path is of the page, and not of what it shows.
pub(super) fn is_page(path: &str) -> bool {
    matches!(path, "/" | "/dashboard.css" | "/dashboard.js")
}

/// The page and its parts.
pub(super) fn page(path: &str) -> Response {
    let (media_type, text) = match path {
        "/dashboard.css" => ("text/css; charset=utf-8", STYLE),
        "/dashboard.js" => ("text/javascript; charset=utf-8", SCRIPT),
        _ => ("text/html; charset=utf-8", PAGE),
    };
    Response::new(200, media_type, text)
        .with("Content-Security-Policy", POLICY)
        .with("X-Content-Type-Options", "nosniff")
        .with("Referrer-Policy", "no-referrer")
}

#[derive(Serialize)]
struct Overview {
    /// One word, by which it is drawn.
    state: &'static str,
    /// One or two sentences.
    verdict: String,
    version: &'static str,
    uptime_seconds: u64,
    circuit: &'static str,
    pages_open: usize,
    by_hand: Option<ByHand>,
    /// Steps of half a minute, the newest last.
    history: Vec<Answers>,
    last_minute: Answers,
    admission: Admission,
    copies: Copies,
    outages: Told,
    /// What an operator may want to set.
    suggestions: Vec<String>,
    log_lines_dropped: u64,
}

#[derive(Serialize)]
struct Admission {
    limit: u32,
    in_flight: u32,
    waiting: usize,
    waiting_room: usize,
    /// How long a visitor who came now would wait in it; `None` where nobody waits or can tell.
    room_wait_seconds: Option<u64>,
    usual_ms: Option<f64>,
}

#[derive(Serialize)]
struct Copies {
    count: usize,
    bytes: usize,
    /// `None` where none is written down.
    on_disk: Option<OnDisk>,
    /// `None` where none is shared.
    with_others: Option<WithOthers>,
    /// Which share of the pages of the last hour could be rescued; `None` where there was none.
    rescuable: Option<f64>,
}

/// What the page shows.
pub(super) fn json(telemetry: &Telemetry) -> String {
    let now = telemetry.clock().now();
    let stats = telemetry.site().stats(now);
    let history = telemetry.history();
    let last_minute = history.iter().rev().take(2).copied();
    let last_minute = last_minute.fold(Answers::default(), Answers::plus);
    let outages = telemetry.outages().told(now);
    let decided = telemetry.site().by_hand(now);
    let seen = Seen {
        decided: decided.as_ref(),
        is_draining: telemetry.is_draining(),
        last_minute,
        outages: &outages,
        stats: &stats,
    };
    let (state, verdict) = seen.verdict();
    let overview = Overview {
        state,
        verdict,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: telemetry.clock().epoch.elapsed().as_secs(),
        circuit: stats.circuit.as_str(),
        pages_open: stats.paths_open,
        by_hand: ByHand::read(telemetry),
        history,
        last_minute,
        admission: Admission {
            limit: stats.admission.limit,
            in_flight: stats.admission.in_flight,
            waiting: stats.admission.waiting,
            waiting_room: stats.waiting.waiting,
            room_wait_seconds: stats.waiting.wait.map(|wait| wait.as_secs()),
            usual_ms: stats.usual.map(millis),
        },
        copies: Copies {
            count: stats.copies,
            bytes: stats.copies_bytes,
            on_disk: telemetry.disk().map(|disk| disk.stats().into()),
            with_others: telemetry
                .instances()
                .map(|instances| instances.stats().into()),
            rescuable: stats.coverage.hour.ratio(),
        },
        outages,
        suggestions: suggestions(telemetry, &stats),
        log_lines_dropped: telemetry
            .access_lines_dropped()
            .saturating_add(Log::dropped()),
    };
    serde_json::to_string(&overview).unwrap_or_default() + "\n"
}

/// What was found out that an operator may want to act on.
fn suggestions(telemetry: &Telemetry, stats: &Stats) -> Vec<String> {
    let proxy = telemetry
        .undeclared()
        .map(|(network, setting)| undeclared::words(&network, &setting));
    let clock = stats.clock_behind.map(|behind| {
        let behind = length(behind.as_secs());
        format!(
            "The clock of the application is {behind} behind: its pages are never fresh. Set its clock."
        )
    });
    let hour = &stats.coverage.hour;
    let field = telemetry.site().worst_field();
    let field = field.and_then(|field| coverage::of_field(hour, &field));
    let little = is_little(hour).then(|| coverage::sentence(hour));
    let idle = queries::words(&telemetry.site().idle_parameters());
    let all = [proxy, clock, field, little, idle];
    all.into_iter().flatten().collect()
}

/// Whether so little could be rescued that an operator should know, and of enough.
fn is_little(hour: &CoverageCounts) -> bool {
    const ENOUGH: u64 = 100;
    const LITTLE: f64 = 0.8;
    hour.all() >= ENOUGH && hour.ratio().is_some_and(|ratio| ratio < LITTLE)
}

/// What a verdict is made of.
struct Seen<'a> {
    decided: Option<&'a Override>,
    is_draining: bool,
    last_minute: Answers,
    outages: &'a Told,
    stats: &'a Stats,
}

impl Seen<'_> {
    /// How things are, in a word and in sentences: what an operator has decided comes first.
    fn verdict(&self) -> (&'static str, String) {
        let stats = self.stats;
        if self.is_draining {
            let text =
                "The program is stopping: running requests are finished, no new ones are taken.";
            return ("draining", text.to_owned());
        }
        match self.decided.map(|decided| &decided.manual) {
            Some(Manual::Maintenance { .. }) => {
                let text =
                    "Maintenance: readers get copies, writes are refused with a page that says so.";
                return ("maintenance", text.to_owned());
            }
            Some(Manual::Open) => {
                let text = "Opened by hand: readers get copies, writes go to the application.";
                return ("open", text.to_owned());
            }
            Some(Manual::Closed) | None => {}
        }
        let outage = self.outages.current.as_ref();
        if let Some(outage) = outage.filter(|_| stats.circuit != State::Closed) {
            let (lasts, cause) = (length(outage.seconds), &outage.cause);
            let text = format!(
                "The application has been down for {lasts} ({cause}). {}",
                self.good_share()
            );
            return ("down", text);
        }
        if stats.paths_open > 0 {
            let (count, share) = (stats.paths_open, self.good_share());
            let pages = if count == 1 {
                "page fails"
            } else {
                "pages fail"
            };
            let text = format!("The application works, but {count} {pages}. {share}");
            return ("rescuing", text);
        }
        let waiting = stats.admission.waiting;
        if waiting > 0 || stats.waiting.waiting > 0 {
            let in_room = match stats.waiting.waiting {
                0 => String::new(),
                count => format!(" {count} are in the waiting room."),
            };
            let text = format!(
                "The application is full: {waiting} wait for it.{in_room} {}",
                self.good_share()
            );
            return ("full", text);
        }
        if let Some(outage) = outage {
            let lasted = length(outage.seconds);
            let text =
                format!("The application is back after {lasted}; it is seen whether that lasts.");
            return ("back", text);
        }
        let LastMinute { errors, .. } = self.errors();
        if errors > 0 {
            return (
                "errors",
                format!("The application answers. {}", self.good_share()),
            );
        }
        ("ok", format!("All is well. {}", self.good_share()))
    }

    fn errors(&self) -> LastMinute {
        let Answers {
            refused, failed, ..
        } = self.last_minute;
        LastMinute {
            all: self.last_minute.all(),
            errors: refused + failed,
        }
    }

    /// How visitors fared lately.
    fn good_share(&self) -> String {
        let LastMinute { all, errors } = self.errors();
        match (all, errors) {
            (0, _) => "There were no visitors in the last minute.".to_owned(),
            (_, 0) => "Every visitor of the last minute got a good answer.".to_owned(),
            // Rounded down: never all of them while some got none.
            (all, errors) => format!(
                "{} % of the last minute's {all} answers were good.",
                (all - errors) * 100 / all
            ),
        }
    }
}

struct LastMinute {
    all: u64,
    errors: u64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use retter_core::time::Instant;

    use super::*;
    use crate::outage::Record;

    struct Case {
        decided: Option<Manual>,
        last_minute: Answers,
        outage: bool,
        stats: Stats,
    }

    impl Case {
        fn new() -> Self {
            Self {
                decided: None,
                last_minute: Answers::default(),
                outage: false,
                stats: Stats::default(),
            }
        }

        #[track_caller]
        fn check(self, state: &str, part: &str) {
            let decided = self.decided.map(|manual| Override {
                manual,
                since: Instant::ZERO,
                until: None,
            });
            let outage = Record {
                cause: "5 failures in a row".to_owned(),
                seconds: Duration::from_secs(250).as_secs(),
                ..Record::default()
            };
            let outages = Told {
                current: self.outage.then_some(outage),
                last: Vec::new(),
            };
            let seen = Seen {
                decided: decided.as_ref(),
                is_draining: false,
                last_minute: self.last_minute,
                outages: &outages,
                stats: &self.stats,
            };
            let (word, text) = seen.verdict();
            assert_eq!(word, state, "{text}");
            assert!(text.contains(part), "{text}");
        }
    }

    fn answers(fresh: u64, rescued: u64, refused: u64) -> Answers {
        Answers {
            fresh,
            rescued,
            refused,
            failed: 0,
        }
    }

    #[test]
    fn the_verdict_says_what_matters_most() {
        Case::new().check("ok", "no visitors");
        Case {
            last_minute: answers(5, 1, 0),
            ..Case::new()
        }
        .check("ok", "Every visitor");
        Case {
            last_minute: answers(998, 1, 1),
            ..Case::new()
        }
        .check("errors", "99 % of the last minute's 1000 answers");
        let mut down = Case::new();
        down.outage = true;
        down.stats.circuit = State::HalfOpen;
        down.check("down", "for 4m 10s (5 failures in a row)");
        let mut back = Case::new();
        back.outage = true;
        back.check("back", "after 4m 10s");
        let mut pages = Case::new();
        pages.stats.paths_open = 1;
        pages.check("rescuing", "1 page fails");
        let mut full = Case::new();
        full.stats.admission.waiting = 7;
        full.check("full", "7 wait");
        let mut room = Case::new();
        room.stats.admission.waiting = 7;
        room.stats.waiting.waiting = 40;
        room.check("full", "7 wait for it. 40 are in the waiting room.");
        let mut open = Case::new();
        open.outage = true;
        open.stats.circuit = State::Open;
        open.decided = Some(Manual::Open);
        open.check("open", "by hand");
    }
}
