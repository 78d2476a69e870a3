//! Owns what is logged, for whoever looks for a cause, of what a site does by itself.
//! Never counts, and never tells of circuits: outages do.

use retter_core::event::Event;

/// Logs what happens all the time, or is told elsewhere.
pub(super) fn log(event: &Event) {
    match event {
        Event::Circuit(_) | Event::Soft(_) => {}
        Event::Limit { from, to, .. } => {
            tracing::debug!("the application is given {to} requests at one time, after {from}");
        }
        Event::Purged { copies } => tracing::debug!("{copies} copies were purged"),
        Event::Refused(counts) => tracing::debug!(
            "refused since the last such line: {} while a circuit was open, {} in maintenance, {} while \
             the application was full, {} that wanted nothing but a copy",
            counts.circuit_open,
            counts.maintenance,
            counts.overload,
            counts.only_if_cached
        ),
        Event::Renewed(counts) => tracing::debug!(
            "copies renewed since the last such line: {}; {} answers may not be kept, {} times the \
             application failed",
            counts.renewed,
            counts.passed,
            counts.failed
        ),
    }
}
