//! Owns `retter check`: the settings in effect, what a running instance has found out, and whether
//! the origin answers.
//! Never starts a server.

mod coverage;

use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Instant;

use http::Method;

use crate::application::remedy;
use crate::client::{self, Peer, Question};
use crate::clock::millis;
use crate::settings::{self, Loaded};
use crate::telemetry::{escape, undeclared};
use crate::{failed, instance, keeping, out, sharing};

/// Shows the settings, those that somebody gave or all, tries the addresses to listen on, and asks the
/// origin once.
pub(crate) fn run(loaded: Loaded, all: bool) -> ExitCode {
    for warning in &loaded.warnings {
        out::failure(format_args!("warning: {warning}"));
    }
    let settings = settings::effective(&loaded.shown, all);
    match (all, settings.is_empty()) {
        (true, _) => out::line(format_args!("Settings in effect:")),
        (false, true) => out::line(format_args!(
            "All settings are at their defaults (`retter check --all` shows them)."
        )),
        (false, false) => out::line(format_args!(
            "Settings that differ from the defaults, or were given (`--all` shows the rest):"
        )),
    }
    out::text(&settings);
    let values = &loaded.values;
    let are_free = addresses(&loaded);
    out::line(format_args!("\nCopies: {}", keeping::inspect(values)));
    if let Some(shared) = sharing::inspect(values) {
        out::line(format_args!("Shared copies: {}", escape(shared.as_bytes())));
    }
    let origin = &values.origin;
    let path = format!("{}/", origin.prefix);
    let timeouts = &values.core.site.origin;
    if let Some((network, setting)) = undeclared(&loaded) {
        let words = undeclared::words(&network, &setting);
        out::line(format_args!("\nThe instance that runs: {words}"));
    }
    out::line(format_args!(
        "\nAsking the application: GET http://{}{path}",
        origin.authority
    ));
    let started = Instant::now();
    let result = client::ask(Question {
        method: &Method::GET,
        to: Peer::Host(&origin.host, origin.port),
        authority: &origin.authority,
        path: &path,
        content: b"",
        more: &[],
        timeout: timeouts.connect_timeout + timeouts.head_timeout,
    });
    match result {
        Ok(answer) => {
            let took = millis(started.elapsed());
            out::line(format_args!("  {} after {took} ms", answer.status));
            for name in ["server", "cache-control"] {
                let value = answer.field(name);
                if !value.is_empty() {
                    out::line(format_args!("  {name}: {}", escape(value.as_bytes())));
                }
            }
            rescuable(&loaded);
            let advice = advice(answer.status, &loaded);
            out::line(format_args!("\n{advice}"));
            if !are_free {
                out::line(format_args!(
                    "But an address to listen on is taken: `retter` would not start now."
                ));
            }
            // For scripts: an application that fails is not ready to be protected.
            ExitCode::from(u8::from(answer.status >= 500))
        }
        Err(error) => failed(format_args!(
            "the application did not answer at http://{}{path}: {error}\n  {}",
            origin.authority,
            remedy(&error, timeouts.head_timeout)
        )),
    }
}

/// Shows what visitors could be rescued with if the application failed, as it answers now.
fn rescuable(loaded: &Loaded) {
    let values = &loaded.values;
    let mut settings = values.core.clone();
    // Nobody else asks meanwhile.
    settings.site.cache.public_share = 1.0;
    let config = settings
        .validate()
        .unwrap_or_else(|_| loaded.config.clone());
    let timeouts = &values.core.site.origin;
    let timeout = timeouts.connect_timeout + timeouts.head_timeout;
    out::line(format_args!(
        "\nWhat visitors could be rescued with, asking as one of them and as a stranger:"
    ));
    let found = coverage::look(&config, &values.origin, timeout);
    for line in &found.lines {
        out::line(format_args!("  {line}"));
    }
    if let Some(error) = found.failed {
        out::line(format_args!("  Not found out: {error}"));
    }
}

/// Tries the addresses to listen on, and says of each whether it is free. Returns whether `retter`
/// could start, or runs already.
fn addresses(loaded: &Loaded) -> bool {
    let values = &loaded.values;
    let listen = [("RETTER_SERVER_LISTEN", Some(&values.listen))];
    let admin = [("RETTER_ADMIN_LISTEN", values.admin.as_ref())];
    let mut are_free = true;
    out::line(format_args!("\nAddresses to listen on:"));
    for (setting, listen) in listen.into_iter().chain(admin) {
        let Some(listen) = listen else {
            continue;
        };
        match listen
            .addrs()
            .and_then(|addrs| TcpListener::bind(&addrs[..]))
        {
            Ok(_) => out::line(format_args!("  {setting}: free")),
            Err(error) => {
                are_free = false;
                out::line(format_args!("  {setting}: {error}"));
            }
        }
    }
    if !are_free && instance::ask(loaded, &Method::GET, "/ready").is_ok() {
        out::line(format_args!("  An instance of this program runs there."));
        return true;
    }
    are_free
}

/// What the instance that runs with these settings says of a proxy in front that is not declared;
/// nothing where it cannot be asked.
fn undeclared(loaded: &Loaded) -> Option<(String, String)> {
    let answer = instance::ask(loaded, &Method::GET, "/health");
    let answer = answer.ok().filter(|answer| answer.status == 200)?;
    let health: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    let text = |name: &str| {
        let text = health.get("undeclared_proxy")?.get(name)?.as_str()?;
        Some(escape(text.as_bytes()))
    };
    Some((text("network")?, text("setting")?))
}

fn advice(status: u16, loaded: &Loaded) -> String {
    let failing = http::StatusCode::from_u16(status).is_ok_and(|status| {
        loaded
            .config
            .site()
            .breaker
            .failure_statuses
            .contains(status)
    });
    match status {
        _ if failing => "The application answers with an error that counts as a failure: with \
                         only such answers the circuit will open."
            .to_owned(),
        300..400 => "The application answers with a redirect. When it points to its own address, \
                     teach it the public one."
            .to_owned(),
        400..500 => "The application answers, but not this page: is the path in \
                     RETTER_BACKEND_BASEURL right?"
            .to_owned(),
        _ => "The application answers: `retter` is ready to protect it.".to_owned(),
    }
}
