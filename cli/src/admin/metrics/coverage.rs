//! Owns the metrics of what could be rescued before there is anything to rescue it from.
//! Never keeps a number.

use retter_core::report::{CoverageStats, Obstacle, Way};

use super::page::Page;

pub(super) fn render(page: &mut Page, stats: &CoverageStats) {
    page.gauge(
        "retter_rescuable_ratio",
        "Share of the pages asked for in the last hour that a copy could have answered if the \
         application had failed at that moment; NaN where none was asked for.",
        stats.hour.ratio().unwrap_or(f64::NAN),
    );
    let total = &stats.total;
    let name = "retter_rescuable_total";
    page.family(
        name,
        "counter",
        "GETs that a copy could have answered if the application had failed at that moment, by whose \
         copy.",
    );
    for way in Way::ALL {
        page.sample(name, &[("way", way.as_str())], total.by(way));
    }
    let name = "retter_unrescuable_total";
    page.family(
        name,
        "counter",
        "GETs that no copy could have answered, by the first thing that is in the way.",
    );
    for obstacle in Obstacle::ALL {
        let count = total.without(obstacle);
        page.sample(name, &[("reason", obstacle.as_str())], count);
    }
    page.counter(
        "retter_no_page_total",
        "GETs that no copy could have answered, and that the application answered with a redirect, or \
         that there is no such page.",
        total.no_page,
    );
}
