//! Owns `POST /purge`: what an operator asks for becomes a [`Purge`], its count the answer.
//! Never decides who may ask: that is settled before.

use std::time::Duration;

use retter_core::Site;
use retter_core::copies::Purge;
use retter_disk::Disk;
use retter_shared::Instances;
use serde::Serialize;

use super::query;
use crate::telemetry::escape;
use crate::web::{Request, Response};

const USAGE: &str = "\
Drops copies and says how many. One of:

  POST /purge?url=/page%3Fa=b         that path and query on every host
  POST /purge?url=http://host/page    on that host
  POST /purge?prefix=/shop/           all that begins so (also with http://host before)
  POST /purge?session=PHPSESSID%3Dx   what a browser with this whole Cookie line sees alone
  POST /purge?all                     everything
";

/// How long a purge waits for the disk.
const DISK_PATIENCE: Duration = Duration::from_secs(5);

const NOT_DURABLE: &str = "\
The copies are gone from memory and rescue nobody, but the disk (RETTER_STATE_DIR) has not said
that it knows: after a restart they might be back. The log says what is wrong; then purge again.
";

/// How long a purge waits for the Redis.
const SHARED_PATIENCE: Duration = Duration::from_secs(2);

const NOT_TOLD: &str = "\
The copies are gone here, but the Redis (RETTER_CACHE_SHARED) does not answer: other instances will
hear of it when it does. Until then they answer without the application for a moment only, and
rescue with what they have; purge there too where that is not good enough.
";

#[derive(Serialize)]
struct Purged {
    purged: usize,
    /// Which copies that were, in words.
    what: String,
}

/// Answers one request for `/purge`.
pub(super) fn answer(
    request: &Request,
    site: &Site,
    disk: Option<&Disk>,
    instances: Option<&Instances>,
) -> Response {
    if request.method != "POST" {
        return Response::text(405, USAGE).with("Allow", "POST");
    }
    let Some(purge) = parse(&request.query) else {
        return Response::text(400, USAGE);
    };
    let purged = Purged {
        purged: site.purge(&purge),
        what: words(&purge),
    };
    tracing::info!(
        "purged by hand: {} copies of {}",
        purged.purged,
        escape(purged.what.as_bytes())
    );
    if disk.is_some_and(|disk| !disk.flush(DISK_PATIENCE)) {
        return Response::text(500, NOT_DURABLE);
    }
    if instances.is_some_and(|instances| !instances.flush(SHARED_PATIENCE)) {
        return Response::text(500, NOT_TOLD);
    }
    let json = serde_json::to_string(&purged).unwrap_or_default();
    Response::new(200, "application/json", json + "\n")
}

/// What was to go. The cookies of a session are a secret.
fn words(purge: &Purge) -> String {
    let on = |host: &Option<String>| match host {
        Some(host) => format!(" on {host}"),
        None => " on every host".to_owned(),
    };
    match purge {
        Purge::All => "every page".to_owned(),
        Purge::Prefix { host, path } => format!("what begins with {path}{}", on(host)),
        Purge::Session { .. } => "one session".to_owned(),
        Purge::Url {
            host,
            path_and_query,
        } => format!("{path_and_query}{}", on(host)),
    }
}

/// Exactly one wish; two would be a mistake that costs copies.
fn parse(query: &str) -> Option<Purge> {
    let pairs = query::pairs(query)?;
    let [(name, value)] = <[_; 1]>::try_from(pairs).ok()?;
    match name {
        "all" if value.is_empty() => Some(Purge::All),
        "session" if !value.is_empty() => Some(Purge::Session { cookie: value }),
        "prefix" => {
            let (host, path) = split(&value)?;
            Some(Purge::Prefix { host, path })
        }
        "url" => {
            let (host, path_and_query) = split(&value)?;
            Some(Purge::Url {
                host,
                path_and_query,
            })
        }
        _ => None,
    }
}

/// Splits `http://host/path` or `/path`; without a path it is `/`.
pub(super) fn split(url: &str) -> Option<(Option<String>, String)> {
    let Some(rest) = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
    else {
        return url.starts_with('/').then(|| (None, url.to_owned()));
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let slash = if path.starts_with('/') { "" } else { "/" };
    (!host.is_empty()).then(|| (Some(host.to_owned()), format!("{slash}{path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes() {
        #[track_caller]
        fn check(query: &str, expected: Option<Purge>) {
            assert_eq!(parse(query), expected, "{query}");
        }
        let url = |host: Option<&str>, path: &str| {
            Some(Purge::Url {
                host: host.map(str::to_owned),
                path_and_query: path.to_owned(),
            })
        };
        check("all", Some(Purge::All));
        check("url=/a%3Fb=c%26d", url(None, "/a?b=c&d"));
        check("url=/a%252Fb", url(None, "/a%2Fb"));
        check("url=http://Host:81/a", url(Some("Host:81"), "/a"));
        check("url=https://host?b", url(Some("host"), "/?b"));
        check("url=http://host", url(Some("host"), "/"));
        let prefix = Purge::Prefix {
            host: None,
            path: "/shop/".to_owned(),
        };
        check("prefix=/shop/", Some(prefix));
        let cookie = "a=b; c=d".to_owned();
        check("session=a=b%3B%20c=d", Some(Purge::Session { cookie }));
        for bad in [
            "",
            "all=1",
            "url=",
            "url=a",
            "url=http:///a",
            "prefix=x",
            "session=",
            "any=/",
            "url=/a&all",
            "url=/%4",
            "url=/%zz",
            "url=/%ff",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn only_a_post_drops_copies() {
        let settings = retter_core::config::Settings::default();
        let now = retter_core::time::Instant::ZERO;
        let site = Site::new(&settings.validate().unwrap(), 1, now);
        let ask = |method: &str, query: &str| {
            let request = Request {
                method: method.to_owned(),
                path: "/purge".to_owned(),
                query: query.to_owned(),
                ..Request::default()
            };
            answer(&request, &site, None, None)
        };
        assert_eq!(ask("GET", "all").status, 405);
        assert_eq!(ask("POST", "").status, 400);
        let done = ask("POST", "all");
        assert_eq!(
            (done.status, &done.body[..]),
            (200, &b"{\"purged\":0,\"what\":\"every page\"}\n"[..])
        );
    }
}
