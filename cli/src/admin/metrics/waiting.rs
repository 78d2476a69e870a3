//! Owns the metrics of the waiting room.
//! Never counts: the core does.

use retter_core::report::WaitingStats;

use super::page::Page;

pub(super) fn render(page: &mut Page, stats: &WaitingStats) {
    page.gauge(
        "retter_waiting_room_visitors",
        "Visitors in the waiting room.",
        stats.waiting,
    );
    page.gauge(
        "retter_waiting_room_wait_seconds",
        "How long a visitor who came now would wait in it, as far as can be told.",
        stats.wait.map_or(0.0, |wait| wait.as_secs_f64()),
    );
    page.counter(
        "retter_waiting_room_given_total",
        "Visitors who were given a place in the waiting room.",
        stats.given,
    );
    let name = "retter_waiting_room_ended_total";
    page.family(
        name,
        "counter",
        "Places in the waiting room, by how they ended.",
    );
    for (end, count) in [("left", stats.left), ("let-in", stats.let_in)] {
        page.sample(name, &[("end", end)], count);
    }
    page.counter(
        "retter_waiting_room_refused_total",
        "Times that a visitor got no place: of a network that has its share of them, or without cookies.",
        stats.refused,
    );
}
