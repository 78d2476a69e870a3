//! Owns how the demo looks: its introduction, the live lines and the summary.
//! Never measures.

use std::time::Duration;

use retter_core::breaker::State;
use retter_core::report::{AdmissionStats, RefreshStats};

use super::shop::Health;
use super::visitors::{Got, Tally};
use crate::out;

/// Pages that one character of a bar stands for, so that a usual second fills a quarter of it.
const PAGES_PER_MARK: u32 = 10;
/// What is left of a usual terminal's 80 columns.
const BAR_WIDTH: usize = 18;

/// One second of the demo.
#[derive(Debug)]
pub(crate) struct Second<'a> {
    pub(crate) at: Duration,
    pub(crate) health: Health,
    /// Whether more visitors are there than it can serve.
    pub(crate) is_crowded: bool,
    pub(crate) circuit: State,
    pub(crate) admission: AdmissionStats,
    /// Visitors who found it full in this second, and got a copy or were refused.
    pub(crate) shed: u64,
    /// With RETTER.
    pub(crate) with: &'a Tally,
    /// Without.
    pub(crate) without: &'a Tally,
}

/// What a newcomer should know first.
#[derive(Debug)]
pub(crate) struct Introduction<'a> {
    pub(crate) shop: &'a str,
    pub(crate) front: &'a str,
    /// Where the dashboard is.
    pub(crate) admin: &'a str,
    pub(crate) switch: &'a str,
    /// `None` when it does not end by itself.
    pub(crate) length: Option<Duration>,
}

/// What stands above the seconds.
const HEADING: &str =
    "time shop    with RETTER        errors  median at work full circuit   without";

/// Writes the demo's lines, coloured when that helps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Show {
    colour: bool,
}

#[derive(Clone, Copy)]
enum Colour {
    Blue,
    Dim,
    Green,
    Red,
    Yellow,
}

impl Show {
    pub(crate) fn new() -> Self {
        Self {
            colour: out::is_colourful(),
        }
    }

    /// What is going to happen.
    pub(crate) fn introduction(self, intro: &Introduction<'_>) {
        let length = intro.length.map_or_else(
            || "It goes on until you press Ctrl-C.".to_owned(),
            |length| format!("It takes {:.0} seconds.", length.as_secs_f64()),
        );
        let Introduction {
            shop,
            front,
            admin,
            switch,
            ..
        } = intro;
        out::text(&format!(
            "RETTER demo: a shop, its visitors, and a bad day. {length}\n\n  \
             the shop, unprotected   http://{shop}/\n  \
             the shop behind RETTER  http://{front}/\n  \
             RETTER's dashboard      http://{admin}/\n  \
             the shop's switch       http://{switch}/admin/switch\n\n\
             Each mark is {PAGES_PER_MARK} pages that visitors got in that second:\n  \
             {}  {}  {}  {}\n\n\
             `at work` are requests at the shop, and how many RETTER lets in at one time;\n\
             `full` those that found it full in that second: who has a copy gets it at\n\
             once, orders go first, and nobody waits for more than a second. `without` are\n\
             the errors of visitors who come to the shop without RETTER.\n\n",
            self.paint(Colour::Green, "█ from the shop"),
            self.paint(Colour::Blue, "▓ a fresh copy"),
            self.paint(Colour::Yellow, "▒ the last good copy"),
            self.paint(Colour::Red, "× an error"),
        ));
        out::line(format_args!("{HEADING}"));
    }

    /// One second.
    pub(crate) fn second(self, second: &Second<'_>) {
        out::line(format_args!("{}", self.line(second)));
    }

    fn line(self, second: &Second<'_>) -> String {
        let is_crowded = second.is_crowded && second.health == Health::Healthy;
        let word = if is_crowded {
            "crowded"
        } else {
            second.health.as_str()
        };
        let health = format!("{word:7}");
        let health = match second.health {
            Health::Healthy if is_crowded => self.paint(Colour::Yellow, &health),
            Health::Healthy => self.paint(Colour::Green, &health),
            Health::Slow => self.paint(Colour::Yellow, &health),
            Health::Down | Health::Failing => self.paint(Colour::Red, &health),
        };
        let circuit = format!("{:9}", second.circuit.as_str());
        let circuit = match second.circuit {
            State::Closed => self.paint(Colour::Green, &circuit),
            State::HalfOpen => self.paint(Colour::Yellow, &circuit),
            State::Open => self.paint(Colour::Red, &circuit),
        };
        let errors = second.with.count(Got::Error);
        let errors = self.errors(errors, &format!("{errors:6}"));
        let lost = second.without.count(Got::Error);
        let lost = match second.without.total() {
            0 => "waiting".to_owned(),
            total => self.errors(lost, &format!("{lost}/{total}")),
        };
        let AdmissionStats {
            in_flight, limit, ..
        } = second.admission;
        let at_work = format!("{in_flight}/{limit}");
        format!(
            "{:3}s {health} {} {errors} {:>7} {at_work:>7} {:4} {circuit} {lost}",
            second.at.as_secs(),
            self.bar(second.with),
            median(second.with),
            second.shed,
        )
    }

    /// What it came to.
    pub(crate) fn summary(
        self,
        (with, without): (&Tally, &Tally),
        refresh: &RefreshStats,
        took: Duration,
    ) {
        let line = |name: &str, tally: &Tally, colour| {
            let text = format!("{:5.1} % of pages came", tally.good_percent());
            format!(
                "  {name}  {}, median {:>7}, {} errors of {}\n",
                self.paint(colour, &text),
                median(tally),
                tally.count(Got::Error),
                tally.total(),
            )
        };
        let copies = with.count(Got::Cache) + with.count(Got::LastKnown);
        out::text(&format!(
            "\nAfter {} seconds:\n\n{}{}\n  {copies} pages were rescued with copies of what the \
             shop itself had answered\n  before; account pages only for the visitor they were \
             made for. Orders (POST)\n  always go to the shop. {} copies were renewed in the \
             background; {} probes of\n  a shop that was down were made with copies, so no visitor \
             had to wait for one.\n",
            took.as_secs(),
            line("with RETTER   ", with, Colour::Green),
            line("without RETTER", without, Colour::Red),
            refresh.renewed,
            refresh.probes_failed + refresh.probes_succeeded,
        ));
    }

    /// How to go on.
    pub(crate) fn farewell(self) {
        out::text(
            "\nProtect your own application:\n\n  \
             RETTER_BACKEND_BASEURL=http://localhost:8088 retter\n\n\
             The demo is in a hurry: it gives the shop at most 4 requests at one time and\n\
             1 s to answer, and finds it slow at 500 ms (RETTER_BACKEND_CONCURRENCY=4,\n\
             RETTER_BACKEND_TIMEOUT_HEAD=1s, RETTER_BREAKER_SLOW_MIN=500ms). Without your\n\
             word RETTER finds out how many it bears, and the rest is 15 s and 1 s.\n\n\
             `retter demo --keep` leaves the shop open for your browser.\n",
        );
    }

    /// Everything stays as it is until interrupted.
    pub(crate) fn staying(self, front: &str, admin: &str, switch: &str) {
        out::text(&format!(
            "\nEverything stays open until you press Ctrl-C. Visit http://{front}/\n\
             with your browser, switch the shop at http://{switch}/admin/switch,\n\
             visit it again, and look at the dashboard, http://{admin}/.\n\n"
        ));
    }

    fn bar(self, tally: &Tally) -> String {
        let mut bar = String::new();
        let mut width = 0;
        let looks = [
            (Got::Backend, '█', Colour::Green),
            (Got::Cache, '▓', Colour::Blue),
            (Got::LastKnown, '▒', Colour::Yellow),
            (Got::Error, '×', Colour::Red),
        ];
        for (got, mark, colour) in looks {
            // Rounded up: a single error is never too few to be seen.
            let marks = tally.count(got).div_ceil(PAGES_PER_MARK) as usize;
            let marks = marks.min(BAR_WIDTH - width);
            width += marks;
            let marks: String = std::iter::repeat_n(mark, marks).collect();
            if !marks.is_empty() {
                bar.push_str(&self.paint(colour, &marks));
            }
        }
        bar.extend(std::iter::repeat_n(' ', BAR_WIDTH - width));
        bar
    }

    fn errors(self, count: u32, text: &str) -> String {
        let colour = if count == 0 { Colour::Dim } else { Colour::Red };
        self.paint(colour, text)
    }

    fn paint(self, colour: Colour, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Blue => 34,
            Colour::Dim => 2,
            Colour::Green => 32,
            Colour::Red => 31,
            Colour::Yellow => 33,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

fn median(tally: &Tally) -> String {
    tally
        .median()
        .map_or_else(|| "-".to_owned(), |time| format!("{} ms", time.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_coloured_where_nobody_sees_it() {
        let show = Show { colour: false };
        assert_eq!(show.paint(Colour::Red, "a"), "a");
        assert_eq!(show.bar(&Tally::default()), " ".repeat(BAR_WIDTH));
    }

    #[test]
    fn a_line_fits_a_terminal_of_80_columns_and_stands_under_its_heading() {
        let show = Show { colour: false };
        let tally = Tally::default();
        let line = show.line(&Second {
            at: Duration::from_secs(120),
            health: Health::Failing,
            is_crowded: true,
            circuit: State::HalfOpen,
            admission: AdmissionStats {
                in_flight: 256,
                limit: 256,
                ..AdmissionStats::default()
            },
            shed: 1234,
            with: &tally,
            without: &tally,
        });
        assert!(line.chars().count() <= 80 && HEADING.len() <= 80, "{line}");
        let below = |heading: &str| {
            HEADING
                .find(heading)
                .map(|at| &line[at..at + heading.len()])
        };
        assert_eq!(below("at work"), Some("256/256"));
        assert_eq!(below("full"), Some("1234"));
        assert_eq!(below("circuit  "), Some("HALF-OPEN"));
        assert_eq!(below("without"), Some("waiting"));
    }
}
