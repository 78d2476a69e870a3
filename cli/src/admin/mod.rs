//! Owns the answers of the admin address: an overview, health, readiness, metrics, the dropping of
//! copies, and what is decided by hand.
//! Never changes anything but by a POST.

mod by_hand;
mod copies;
mod dashboard;
mod elsewhere;
mod guard;
mod health;
mod metrics;
mod purge;
mod query;

use std::fmt::Write;

use retter_core::report::Source;

use crate::outage::length;
use crate::reload::Reload;
use crate::telemetry::{Telemetry, words};
use crate::web::{Request, Response};

pub(crate) use elsewhere::{CONTENT_BYTES_MAX, MARK, NEXT, SHOWN};
pub(crate) use guard::Guard;
pub(crate) use query::encode;

const PATHS: &str = "/         the dashboard, for a browser\n\
                     /status   this overview as text\n\
                     /overview what the dashboard shows, as JSON\n\
                     /health   the state in detail, as JSON\n\
                     /ready    200 while requests are taken, 503 while stopping\n\
                     /metrics  for Prometheus\n\
                     /copies   which copies there are, as text (?prefix=, ?limit=)\n\
                     /copies/show    one of them, with head and content (?url=, &number=)\n\
                     /copies/export  those that everybody may see, for another machine\n\
                     /copies/import  by POST on the socket: takes such copies over\n\
                     /outages  the last outages of the application, as JSON\n\
                     /circuit  by POST: open, closed or auto for a time (?state=, &for=)\n\
                     /maintenance  by POST: on or off (?state=, &for=, &message=)\n\
                     /probe    by POST: probes at once what is open\n\
                     /purge    by POST: drops copies (?url=, ?prefix=, ?session= or ?all)\n\
                     /reload   by POST: reads the settings file again\n";

/// Answers one request. Where there is no guard, whoever can ask may.
pub(crate) fn answer(
    request: &Request,
    guard: Option<&Guard>,
    telemetry: &Telemetry,
    reload: &Reload,
) -> Response {
    let refused = guard.and_then(|guard| guard.refuse(request));
    let response = refused.unwrap_or_else(|| match request.path.as_str() {
        "/circuit" => by_hand::circuit(request, telemetry),
        "/maintenance" => by_hand::maintenance(request, telemetry),
        "/probe" => by_hand::probe(request, telemetry),
        "/purge" => purge::answer(
            request,
            telemetry.site(),
            telemetry.disk().map(|disk| &**disk),
            telemetry.instances().map(|instances| &**instances),
        ),
        "/reload" => reloaded(request, telemetry, reload),
        "/copies/export" | "/copies/import" | "/copies/show" => {
            elsewhere::answer(request, guard, telemetry)
        }
        _ => shown(request, telemetry),
    });
    response.with("Cache-Control", "no-store")
}

/// What is only looked at.
fn shown(request: &Request, telemetry: &Telemetry) -> Response {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Response::text(405, "Only GET and HEAD.\n").with("Allow", "GET, HEAD");
    }
    match request.path.as_str() {
        path if dashboard::is_page(path) => dashboard::page(path),
        "/overview" => Response::new(200, "application/json", dashboard::json(telemetry)),
        "/copies" => copies::answer(request, telemetry),
        "/status" => Response::text(200, overview(telemetry)),
        "/health" => Response::new(200, "application/json", health::json(telemetry)),
        "/metrics" => {
            let media_type = "text/plain; version=0.0.4; charset=utf-8";
            Response::new(200, media_type, metrics::render(telemetry))
        }
        "/outages" => {
            let told = telemetry.outages().told(telemetry.clock().now());
            let json = serde_json::to_string_pretty(&told).unwrap_or_default();
            Response::new(200, "application/json", json + "\n")
        }
        "/ready" if telemetry.is_draining() => Response::text(503, "stopping\n"),
        "/ready" => Response::text(200, "ready\n"),
        _ => Response::text(404, format!("There is no such page. There are:\n\n{PATHS}")),
    }
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
         since start\n",
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
    if let Some(by_hand) = by_hand::ByHand::read(telemetry) {
        let _ = writeln!(out, "by hand      {by_hand}");
    }
    let outages = telemetry.outages().told(now);
    if let Some(outage) = outages.current {
        let (since, lasts) = (&outage.began, length(outage.seconds));
        let _ = writeln!(
            out,
            "outage       since {since} ({lasts}): {}",
            outage.cause
        );
        let _ = writeln!(out, "             {}", outage.counts());
    }
    out.push_str("\nanswers since start\n");
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
    out.push_str("\nlast outages\n");
    for outage in &outages.last {
        let _ = writeln!(
            out,
            "  {}  for {}: {}",
            outage.began,
            length(outage.seconds),
            outage.counts()
        );
    }
    if outages.last.is_empty() {
        out.push_str("  none\n");
    }
    let _ = write!(out, "\npages\n{PATHS}");
    out
}

#[cfg(test)]
mod tests;
