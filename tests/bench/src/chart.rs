//! Owns charts as SVG, small enough to be read as text.
//! Never decides what is in them.

use std::fmt::Write;

use crate::compare::figures::Figures;
use crate::median;
use crate::surge::outcome::Outcome;
use crate::surge::scenario::Scenario;
use crate::table::figure;

/// Colours that people with any kind of colour blindness tell apart (Okabe and Ito).
const COLOURS: [&str; 8] = [
    "#999999", "#0072b2", "#56b4e9", "#e69f00", "#cc79a7", "#d55e00", "#009e73", "#000000",
];
const WIDTH: f64 = 860.0;
const LEFT: f64 = 190.0;

/// Bars of the medians, a group for each scenario, each group on its own scale.
#[must_use]
pub fn bars(all: &[Figures]) -> String {
    let mut body = String::new();
    let mut y = 10.0;
    for figures in all {
        y += 24.0;
        let heading = format!("{}, {}", figures.text, figures.unit);
        text(
            &mut body,
            10.0,
            y,
            "start",
            &format!("font-weight=\"bold\">{}", escape(&heading)),
        );
        y += 8.0;
        let medians: Vec<f64> = figures.rows.iter().map(|row| median(&row.values)).collect();
        let most = medians.iter().copied().fold(1e-9, f64::max);
        for (row, value) in figures.rows.iter().zip(medians) {
            if !value.is_finite() {
                continue;
            }
            let colour = match row.contender.as_str() {
                name if name.starts_with("retter") => COLOURS[6],
                _ if row.is_peer => COLOURS[1],
                _ => COLOURS[0],
            };
            let width = (WIDTH - LEFT - 80.0) * value / most;
            let _ = writeln!(
                body,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"14\" fill=\"{colour}\"/>"
            );
            text(
                &mut body,
                LEFT - 8.0,
                y + 12.0,
                "end",
                &format!(">{}", escape(&row.contender)),
            );
            let label = format!(">{}", figure(value));
            text(&mut body, LEFT + width + 6.0, y + 12.0, "start", &label);
            y += 18.0;
        }
    }
    svg(y + 16.0, &body)
}

/// Good answers to what was sent in each second: a panel for each contender, grey what was sent.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "seconds of a run")]
pub fn seconds(scenario: &Scenario, outcomes: &[Outcome]) -> String {
    const PANEL: f64 = 90.0;
    let mut body = String::new();
    let title = format!("font-weight=\"bold\">{}", escape(scenario.text));
    text(&mut body, 10.0, 20.0, "start", &title);
    let grey = "fill=\"#777\">good answers to what was sent in each second; grey: what was sent";
    text(&mut body, 10.0, 38.0, "start", grey);
    let mut y = 52.0;
    for (outcome, colour) in outcomes.iter().zip(COLOURS.iter().skip(1).cycle()) {
        let (sent, good) = (outcome.sent_by_second(), outcome.good_by_second());
        let most = sent.iter().copied().fold(1.0, f64::max);
        let step = (WIDTH - LEFT - 20.0) / sent.len() as f64;
        for (second, (sent, good)) in sent.iter().zip(&good).enumerate() {
            let x = LEFT + step * second as f64;
            for (count, colour) in [(sent, "#ddd"), (good, *colour)] {
                let height = (PANEL - 12.0) * count / most;
                let top = y + PANEL - height;
                let _ = writeln!(
                    body,
                    "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\" \
                     fill=\"{colour}\"/>",
                    step - 1.0
                );
            }
        }
        let name = format!(">{}", escape(&outcome.contender));
        text(&mut body, LEFT - 12.0, y + PANEL, "end", &name);
        let top = format!("fill=\"#777\">{most:.0}/s");
        text(&mut body, LEFT - 12.0, y + 24.0, "end", &top);
        y += PANEL;
    }
    let seconds = outcomes
        .first()
        .map_or(0, |outcome| outcome.phases.all.as_secs());
    for second in (0..=seconds).step_by(5) {
        let x = LEFT + (WIDTH - LEFT - 20.0) * second as f64 / seconds.max(1) as f64;
        text(
            &mut body,
            x,
            y + 16.0,
            "middle",
            &format!("fill=\"#777\">{second} s"),
        );
    }
    svg(y + 26.0, &body)
}

/// Adds text; `rest` is further attributes, `>` and what is written.
fn text(body: &mut String, x: f64, y: f64, anchor: &str, rest: &str) {
    let _ = writeln!(
        body,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {rest}</text>"
    );
}

fn svg(height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
