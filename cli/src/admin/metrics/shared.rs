//! Owns the metrics of copies that are shared with other instances.
//! Never keeps a number.

use retter_shared::Stats;

use super::page::Page;

pub(super) fn render(page: &mut Page, stats: &Stats) {
    page.gauge(
        "retter_shared_instances",
        "Instances that share copies and were heard of within the last seconds, this one included.",
        stats.instances,
    );
    page.gauge(
        "retter_shared_current",
        "1 while all is known that other instances have dropped; else copies answer without the application \
         for a moment only, and rescue.",
        u8::from(stats.is_current),
    );
    page.gauge(
        "retter_shared_failing",
        "1 while the Redis refuses or does not answer: copies are not shared.",
        u8::from(stats.trouble.is_some()),
    );
    let counters = [
        (
            "retter_shared_asked_total",
            "Times that there was no other answer and the Redis was asked for a copy.",
            stats.asked,
        ),
        (
            "retter_shared_found_total",
            "Copies that were found so.",
            stats.found,
        ),
        (
            "retter_shared_written_total",
            "Copies written for other instances.",
            stats.written,
        ),
        (
            "retter_shared_lost_total",
            "Copies that were not written, as there were too many or the Redis refused.",
            stats.lost,
        ),
        (
            "retter_shared_told_total",
            "Events sent to other instances: what was dropped here.",
            stats.told,
        ),
        (
            "retter_shared_heard_total",
            "Events of other instances: what was dropped there.",
            stats.heard,
        ),
        (
            "retter_shared_gaps_total",
            "Times that events of another instance were missed, so that older copies only rescue.",
            stats.gaps,
        ),
        (
            "retter_shared_rejected_total",
            "Copies and events in the Redis that were not sealed with RETTER_CACHE_SHARED_SECRET.",
            stats.rejected,
        ),
    ];
    for (name, help, count) in counters {
        page.counter(name, help, count);
    }
}
