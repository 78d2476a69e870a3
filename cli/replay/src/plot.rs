//! Owns the picture of a replay: what users got over time, and when the circuit was open, as SVG.
//! Never shows a number that the text does not explain.

use std::fmt::Write;

use retter_core::breaker::State;
use retter_log::escape;

use super::summary::{Log, Summary};
use super::tally::Counts;
use super::timeline::Timeline;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
/// Of one set of settings: a title, the chart, a band for the circuit, the times.
const PANEL: f64 = 280.0;
const TOP: f64 = 40.0;
const CHART: f64 = 170.0;
const BAND: f64 = 14.0;
const LEGEND: f64 = 40.0;
const BARS_MAX: usize = 240;

/// What is stacked, from below: a name, a colour that is told apart without red and green, and
/// its count.
type Layer = (&'static str, &'static str, fn(&Counts) -> u64);
const LAYERS: [Layer; 5] = [
    ("the application's answer", "#0072b2", |counts| {
        counts.answered
    }),
    ("a fresh copy", "#56b4e9", |counts| counts.fresh),
    ("a copy that rescued", "#e69f00", Counts::rescued),
    ("503, no copy", "#cc79a7", Counts::refused),
    ("an error", "#333333", |counts| counts.errors),
];

/// The whole picture. Writing to a String cannot fail.
pub(super) fn svg(summary: &Summary) -> String {
    let mut out = String::new();
    let log = (
        "by the log, without RETTER".to_owned(),
        &summary.log.timeline,
    );
    let runs = (summary.runs.iter()).map(|(name, run)| (format!("with {name}"), &run.timeline));
    let panels: Vec<_> = std::iter::once(log).chain(runs).collect();
    #[expect(clippy::cast_precision_loss, reason = "there are two or three")]
    let height = PANEL * panels.len() as f64 + LEGEND;
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"#ffffff\"/>\n"
    );
    let bars: Vec<_> = panels.iter().map(|(_, timeline)| bars(timeline)).collect();
    // One scale for all, so that they can be compared.
    let all = bars.iter().flat_map(|(_, bars)| bars);
    let most = all.map(Counts::total).max().unwrap_or(0).max(1);
    let mut top = 0.0;
    for (number, ((title, timeline), (width, bars))) in panels.iter().zip(&bars).enumerate() {
        let panel = Panel {
            bar_nanos: *width,
            bars,
            has_circuit: number > 0,
            log: &summary.log,
            most,
            top,
        };
        let _ = panel.draw(&mut out, title, timeline);
        top += PANEL;
    }
    let _ = legend(&mut out, top + 20.0);
    out.push_str("</svg>\n");
    out
}

/// Slices joined until they are wide enough to be seen, and how long one is.
fn bars(timeline: &Timeline) -> (u64, Vec<Counts>) {
    let slices = &timeline.slices;
    let joined = slices.len().div_ceil(BARS_MAX).max(1);
    let bars = slices.chunks(joined).map(|chunk| {
        let mut sum = Counts::default();
        chunk.iter().for_each(|counts| sum.merge(counts));
        sum
    });
    (timeline.slice * joined as u64, bars.collect())
}

struct Panel<'a> {
    bar_nanos: u64,
    bars: &'a [Counts],
    /// The log's own has none.
    has_circuit: bool,
    log: &'a Log,
    most: u64,
    top: f64,
}

#[expect(clippy::cast_precision_loss, reason = "a pixel is coarser")]
impl Panel<'_> {
    fn draw(&self, out: &mut String, title: &str, timeline: &Timeline) -> std::fmt::Result {
        let title = escape_xml(title);
        let (left, baseline) = (LEFT, self.top + TOP + CHART);
        writeln!(
            out,
            "<text x=\"{left}\" y=\"{}\" font-size=\"14\" font-weight=\"bold\">Requests in {} s, \
             {title}</text>",
            self.top + 24.0,
            self.bar_nanos / super::when::NANOS_PER_SEC
        )?;
        let scale = CHART / self.most as f64;
        let width = self.x(self.bar_nanos) - LEFT;
        for (index, counts) in self.bars.iter().enumerate() {
            let (x, mut y) = (self.x(self.bar_nanos * index as u64), baseline);
            for (_, colour, count) in LAYERS {
                let height = count(counts) as f64 * scale;
                if height > 0.0 {
                    y -= height;
                    writeln!(
                        out,
                        "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" \
                         height=\"{height:.2}\" fill=\"{colour}\"/>"
                    )?;
                }
            }
        }
        writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><text x=\"{}\" y=\"{baseline}\" \
             text-anchor=\"end\">0</text>",
            left - 6.0,
            self.top + TOP + 10.0,
            self.most,
            left - 6.0
        )?;
        if self.has_circuit {
            self.circuit(out, timeline, baseline + 6.0)?;
        }
        self.times(out, baseline + BAND + 24.0)
    }

    /// A band that is filled where the circuit was not closed.
    fn circuit(&self, out: &mut String, timeline: &Timeline, y: f64) -> std::fmt::Result {
        let end = self.bar_nanos.saturating_mul(self.bars.len() as u64);
        writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">circuit</text><rect x=\"{LEFT}\" \
             y=\"{y}\" width=\"{:.2}\" height=\"{BAND}\" fill=\"#eeeeee\"/>",
            LEFT - 6.0,
            y + 11.0,
            self.x(end) - LEFT
        )?;
        let changes = &timeline.changes;
        for (index, change) in changes.iter().enumerate() {
            let colour = match change.to {
                State::Closed => continue,
                State::HalfOpen => "#f0e442",
                State::Open => "#d55e00",
            };
            let from = change.at.as_nanos().min(end);
            let next = changes
                .get(index + 1)
                .map_or(end, |next| next.at.as_nanos());
            let x = self.x(from);
            // Too short to be seen is still worth seeing.
            let width = (self.x(next.min(end)) - x).max(0.5);
            let what = escape_xml(&format!("{}: {}", change.to, change.reason));
            writeln!(
                out,
                "<rect x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{BAND}\" \
                 fill=\"{colour}\"><title>{what}</title></rect>"
            )?;
        }
        Ok(())
    }

    fn times(&self, out: &mut String, y: f64) -> std::fmt::Result {
        let end = self.bar_nanos.saturating_mul(self.bars.len() as u64);
        for (part, anchor) in [(0, "start"), (1, "middle"), (2, "end")] {
            let at = end / 2 * part;
            writeln!(
                out,
                "<text x=\"{:.2}\" y=\"{y}\" text-anchor=\"{anchor}\" fill=\"#555555\">{}</text>",
                self.x(at),
                self.log.time(at)
            )?;
        }
        Ok(())
    }

    fn x(&self, nanos: u64) -> f64 {
        let all = self.bar_nanos.saturating_mul(self.bars.len().max(1) as u64);
        LEFT + (WIDTH - LEFT - RIGHT) * nanos as f64 / all as f64
    }
}

fn legend(out: &mut String, y: f64) -> std::fmt::Result {
    let circuit = [("circuit open", "#d55e00"), ("half-open", "#f0e442")];
    let layers = LAYERS.iter().map(|(name, colour, _)| (*name, *colour));
    let mut x = LEFT;
    for (name, colour) in layers.chain(circuit) {
        writeln!(
            out,
            "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text \
             x=\"{}\" y=\"{y}\">{name}</text>",
            y - 10.0,
            x + 17.0
        )?;
        #[expect(clippy::cast_precision_loss, reason = "a name is short")]
        let letters = name.len() as f64;
        x += 36.0 + letters * 6.2;
    }
    Ok(())
}

fn escape_xml(text: &str) -> String {
    let text = escape(text.as_bytes());
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
