//! Owns the answers of the admin address: an overview, health, readiness, metrics, and the
//! dropping of copies.
//! Never changes anything but by a POST.

mod guard;
mod health;
mod metrics;
mod purge;

use std::fmt::Write;

use retter_core::report::Source;

use crate::reload::Reload;
use crate::telemetry::{Telemetry, words};
use crate::web::{Request, Response};

pub(crate) use guard::Guard;

const PATHS: &str = "/         this overview as text\n\
                     /health   the state in detail, as JSON\n\
                     /ready    200 while requests are taken, 503 while stopping\n\
                     /metrics  for Prometheus\n\
                     /purge    by POST: drops copies (?url=, ?prefix=, ?session= or ?all)\n\
                     /reload   by POST: reads the settings file again\n";

/// Answers one request.
pub(crate) fn answer(
    request: &Request,
    guard: &Guard,
    telemetry: &Telemetry,
    reload: &Reload,
) -> Response {
    if let Some(refusal) = guard.refuse(request) {
        return refusal.with("Cache-Control", "no-store");
    }
    if request.path == "/purge" {
        return purge::answer(request, telemetry.site()).with("Cache-Control", "no-store");
    }
    if request.path == "/reload" {
        return reloaded(request, telemetry, reload).with("Cache-Control", "no-store");
    }
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Response::text(405, "Only GET and HEAD.\n").with("Allow", "GET, HEAD");
    }
    let response = match request.path.as_str() {
        "/" => Response::text(200, overview(telemetry)),
        "/health" => Response::new(200, "application/json", health::json(telemetry)),
        "/metrics" => {
            let media_type = "text/plain; version=0.0.4; charset=utf-8";
            Response::new(200, media_type, metrics::render(telemetry))
        }
        "/ready" if telemetry.is_draining() => Response::text(503, "stopping\n"),
        "/ready" => Response::text(200, "ready\n"),
        _ => Response::text(404, format!("There is no such page. There are:\n\n{PATHS}")),
    };
    response.with("Cache-Control", "no-store")
}

/// What an operator changed in the settings file counts from now on.
fn reloaded(request: &Request, telemetry: &Telemetry, reload: &Reload) -> Response {
    if request.method != "POST" {
        let text = "POST /reload reads the settings file again.\n";
        return Response::text(405, text).with("Allow", "POST");
    }
    let result = reload.run(request.query == "drop-copies");
    telemetry.count_reload(result.is_ok());
    match result {
        Ok(reloaded) => {
            tracing::info!("reloaded: {reloaded}");
            let json = serde_json::to_string(&reloaded).unwrap_or_default();
            Response::new(200, "application/json", json + "\n")
        }
        Err(why) => {
            tracing::warn!("not reloaded: {why}");
            Response::text(409, format!("{why}\n"))
        }
    }
}

fn overview(telemetry: &Telemetry) -> String {
    let now = telemetry.clock().now();
    let stats = telemetry.site().stats(now);
    let totals = telemetry.totals();
    let transitions = telemetry.transitions();
    let (accepted, open) = telemetry.connections();
    let mut out = format!(
        "RETTER {}\n\ncircuit      {} ({} paths with a circuit of their own not closed)\n\
         copies       {}, {} KiB\nat origin    {} of {}, {} waiting\nconnections  {open} open, {accepted} \
         since start\n\nanswers since start\n",
        env!("CARGO_PKG_VERSION"),
        stats.circuit,
        stats.paths_open,
        stats.copies,
        stats.copies_bytes / 1024,
        stats.admission.in_flight,
        stats.admission.limit,
        stats.admission.waiting,
    );
    // Writing to a String cannot fail.
    for source in Source::ALL {
        let _ = writeln!(
            out,
            "  {:20} {}",
            source.as_str(),
            totals.answers_from(source)
        );
    }
    out.push_str("\nlast state changes\n");
    for transition in &transitions.last {
        let at = humantime::format_rfc3339_seconds(telemetry.clock().wall(transition.at));
        let _ = writeln!(out, "  {at}  {}", words(transition));
    }
    if transitions.last.is_empty() {
        out.push_str("  none\n");
    }
    let _ = write!(out, "\npages\n{PATHS}");
    out
}

#[cfg(test)]
mod tests;
