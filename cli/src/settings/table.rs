//! Owns the one table of settings: names, defaults, what is accepted, help, and how a text
//! becomes a value. Flags, variables, file keys, `--help` and the README table all come from it.
//! Never decides which layer wins: that is `layers`.

use retter_core::config::NamePatterns;

use super::parse;
use super::spec::Spec;

const DURATION: &str = "a duration: `15 seconds`, `15s`, `500ms`, `1m 30s`; a bare number is \
                        seconds";
const SIZE: &str = "a size: `64MiB`, `64MB`, or bytes as a number";
const SWITCH: &str = "true or false (also yes/no, on/off, 1/0)";
const RATE: &str = "bytes a second, or `off`";
const COUNT: &str = "a whole number from 1 up";
const NAMES: &str = "cookie names separated by commas, `*` at the end for a prefix; `known` \
                     stands for the built-in list, `none` for no cookie";
const PARAMETERS: &str = "names of query parameters separated by commas, `*` at the end for a \
                          prefix; `known` stands for the built-in list, `none` for no parameter";

/// All settings, in the order of `--help`.
pub(crate) const SPECS: &[Spec] = &[
    Spec {
        key: "backend.baseurl",
        default: "http://localhost:8088",
        accepted: "http://host[:port][/prefix]",
        example: "http://localhost:8088",
        help: "Base URL of the application; a path prefix in it is put before every path",
        core: "origin.authority",
        apply: |v, text| {
            v.origin = parse::BaseUrl::parse(text)?;
            v.core.origin.authority.clone_from(&v.origin.authority);
            v.core.origin.path_prefix.clone_from(&v.origin.prefix);
            Ok(())
        },
    },
    Spec {
        key: "server.listen",
        default: ":8089",
        accepted: "[host]:port; without a host every interface, IPv4 and IPv6",
        example: ":8089",
        help: "Address to listen on for clients",
        core: "",
        apply: |v, text| parse::Listen::parse(text).map(|listen| v.listen = listen),
    },
    Spec {
        key: "cache.ttl",
        default: "5",
        accepted: DURATION,
        example: "5s",
        help: "Age below which a copy is labelled `cache`, above it `last-known-success`",
        core: "cache.ttl",
        apply: |v, text| parse::duration(text).map(|ttl| v.core.cache.ttl = ttl),
    },
    Spec {
        key: "cache.detect_query",
        default: "true",
        accepted: SWITCH,
        example: "true",
        help: "Whether the query string is part of the cache key",
        core: "cache.detect_query",
        apply: |v, text| parse::switch(text).map(|on| v.core.cache.detect_query = on),
    },
    Spec {
        key: "cache.detect_session",
        default: "true",
        accepted: SWITCH,
        example: "true",
        help: "Whether session cookies and credentials are part of the cache key",
        core: "cache.detect_session",
        apply: |v, text| parse::switch(text).map(|on| v.core.cache.detect_session = on),
    },
    Spec {
        key: "cache.fresh",
        default: "origin",
        accepted: "off, origin or ttl",
        example: "origin",
        help: "Which copies answer without asking the application: `off` none, `origin` those that \
               it calls fresh, `ttl` also those without a word about it, for `RETTER_CACHE_TTL`",
        core: "cache.fresh",
        apply: |v, text| parse::fresh(text).map(|mode| v.core.cache.fresh = mode),
    },
    Spec {
        key: "cache.rescue",
        default: "session",
        accepted: "session, strict or all",
        example: "session",
        help: "What is kept: `session` keeps private answers only for their own session, \
               `strict` obeys RFC 9111 to the letter, `all` keeps every 200",
        core: "cache.rescue",
        apply: |v, text| parse::rescue(text).map(|mode| v.core.cache.rescue = mode),
    },
    Spec {
        key: "cache.rescue_age_max",
        default: "24h",
        accepted: DURATION,
        example: "24h",
        help: "Age above which a copy rescues nobody",
        core: "cache.rescue_age_max",
        apply: |v, text| parse::duration(text).map(|age| v.core.cache.rescue_age_max = age),
    },
    Spec {
        key: "cache.bytes",
        default: "64MiB",
        accepted: SIZE,
        example: "64MiB",
        help: "Memory for all copies",
        core: "cache.bytes_max",
        apply: |v, text| parse::size(text).map(|bytes| v.core.cache.bytes_max = bytes),
    },
    Spec {
        key: "cache.entries",
        default: "100000",
        accepted: COUNT,
        example: "100000",
        help: "Number of all copies",
        core: "cache.entries_max",
        apply: |v, text| parse::count(text).map(|count| v.core.cache.entries_max = count),
    },
    Spec {
        key: "cache.object_bytes",
        default: "4MiB",
        accepted: SIZE,
        example: "4MiB",
        help: "Largest body that is kept; larger ones pass through",
        core: "cache.object_bytes_max",
        apply: |v, text| parse::size(text).map(|bytes| v.core.cache.object_bytes_max = bytes),
    },
    Spec {
        key: "cache.session_cookies",
        default: "known",
        accepted: NAMES,
        example: "known,my_session",
        help: "Cookies that carry a session; pages are never shared between sessions",
        core: "cache.session_cookies",
        apply: |v, text| {
            parse::names(text, &NamePatterns::session_cookies())
                .map(|names| v.core.cache.session_cookies = names)
        },
    },
    Spec {
        key: "cache.ignored_cookies",
        default: "known",
        accepted: NAMES,
        example: "known,my_banner",
        help: "Cookies that never change a page (analytics, consent banners)",
        core: "cache.ignored_cookies",
        apply: |v, text| {
            parse::names(text, &NamePatterns::ignored_cookies())
                .map(|names| v.core.cache.ignored_cookies = names)
        },
    },
    Spec {
        key: "cache.ignored_query",
        default: "known",
        accepted: PARAMETERS,
        example: "known,my_campaign",
        help: "Query parameters that never change a page (campaign tracking); the application \
               still gets them",
        core: "cache.ignored_query",
        apply: |v, text| {
            parse::names(text, &NamePatterns::ignored_query())
                .map(|names| v.core.cache.ignored_query = names)
        },
    },
    Spec {
        key: "breaker.fail_rate",
        default: "0.66",
        accepted: "a number above 0 and up to 1",
        example: "0.66",
        help: "Share of failures in the window that opens the circuit",
        core: "breaker.failure_rate",
        apply: |v, text| parse::number(text).map(|rate| v.core.breaker.failure_rate = rate),
    },
    Spec {
        key: "breaker.consecutive_fail",
        default: "5",
        accepted: COUNT,
        example: "5",
        help: "Failures in a row that open the circuit",
        core: "breaker.consecutive_failures",
        apply: |v, text| {
            parse::count(text).map(|count| v.core.breaker.consecutive_failures = count)
        },
    },
    Spec {
        key: "breaker.fail_status",
        default: "500-599,!501,!505",
        accepted: "status codes and ranges from 500 to 599 separated by commas; `!` takes out",
        example: "500-599,!501,!505",
        help: "Status codes that count as failures",
        core: "breaker.failure_statuses",
        apply: |v, text| parse::statuses(text).map(|set| v.core.breaker.failure_statuses = set),
    },
    Spec {
        key: "breaker.slow_rate",
        default: "0.66",
        accepted: "a number above 0 and up to 1, or `off`",
        example: "0.66",
        help: "Share of slow answers in the window that opens the circuit; \
               `off`: nothing is ever slow",
        core: "breaker.slow_rate",
        apply: |v, text| {
            v.core.breaker.slow_rate = match text.trim() {
                "off" => None,
                text => Some(parse::number(text)?),
            };
            Ok(())
        },
    },
    Spec {
        key: "breaker.slow_min",
        default: "1s",
        accepted: DURATION,
        example: "1s",
        help: "What an answer may take in any case; slow is longer than this and four times the \
               usual",
        core: "breaker.slow_min",
        apply: |v, text| parse::duration(text).map(|time| v.core.breaker.slow_min = time),
    },
    Spec {
        key: "breaker.window",
        default: "10s",
        accepted: DURATION,
        example: "10s",
        help: "Length of the sliding window that failures are counted in",
        core: "breaker.window",
        apply: |v, text| parse::duration(text).map(|window| v.core.breaker.window = window),
    },
    Spec {
        key: "breaker.open_min",
        default: "2s",
        accepted: DURATION,
        example: "2s",
        help: "First open time; it doubles with each failed recovery",
        core: "breaker.open_min",
        apply: |v, text| parse::duration(text).map(|open| v.core.breaker.open_min = open),
    },
    Spec {
        key: "breaker.open_max",
        default: "60s",
        accepted: DURATION,
        example: "60s",
        help: "Longest open time",
        core: "breaker.open_max",
        apply: |v, text| parse::duration(text).map(|open| v.core.breaker.open_max = open),
    },
    Spec {
        key: "backend.concurrency",
        default: "256",
        accepted: COUNT,
        example: "64",
        help: "Most requests at the application at one time; how many it bears is found out",
        core: "admission.in_flight_max",
        apply: |v, text| parse::count(text).map(|count| v.core.admission.in_flight_max = count),
    },
    Spec {
        key: "backend.refresh_share",
        default: "0.25",
        accepted: "a number from 0 to 1; 0 for never",
        example: "0.2",
        help: "Share of them that may renew copies and probe circuits though no visitor waits",
        core: "admission.background_share",
        apply: |v, text| parse::number(text).map(|share| v.core.admission.background_share = share),
    },
    Spec {
        key: "backend.concurrency_min",
        default: "1",
        accepted: COUNT,
        example: "2",
        help: "Fewest that are let in, however slow it gets; the same as the most fixes the number",
        core: "admission.in_flight_min",
        apply: |v, text| parse::count(text).map(|count| v.core.admission.in_flight_min = count),
    },
    Spec {
        key: "backend.queue_timeout",
        default: "1s",
        accepted: DURATION,
        example: "500ms",
        help: "Longest time a request waits for the application to have room",
        core: "admission.queue_timeout",
        apply: |v, text| parse::duration(text).map(|time| v.core.admission.queue_timeout = time),
    },
    Spec {
        key: "backend.idle_connections",
        default: "64",
        accepted: "a whole number; 0 keeps none",
        example: "32",
        help: "Idle connections to the application that are kept, shared out over the workers",
        core: "",
        apply: |v, text| parse::count(text).map(|count| v.idle_connections = count),
    },
    Spec {
        key: "backend.idle_timeout",
        default: "4s",
        accepted: DURATION,
        example: "4s",
        help: "How long they are kept; shorter than the application's own keep-alive time",
        core: "",
        apply: |v, text| parse::duration(text).map(|timeout| v.idle_timeout = timeout),
    },
    Spec {
        key: "backend.timeout_connect",
        default: "2s",
        accepted: DURATION,
        example: "2s",
        help: "Longest time to connect to the application",
        core: "origin.connect_timeout",
        apply: |v, text| parse::duration(text).map(|time| v.core.origin.connect_timeout = time),
    },
    Spec {
        key: "backend.timeout_head",
        default: "15s",
        accepted: DURATION,
        example: "15s",
        help: "Longest time until the application begins to answer",
        core: "origin.head_timeout",
        apply: |v, text| parse::duration(text).map(|time| v.core.origin.head_timeout = time),
    },
    Spec {
        key: "backend.timeout_body",
        default: "60s",
        accepted: DURATION,
        example: "60s",
        help: "Longest pause inside a body",
        core: "origin.body_timeout",
        apply: |v, text| parse::duration(text).map(|time| v.core.origin.body_timeout = time),
    },
    Spec {
        key: "backend.rate_min",
        default: "240",
        accepted: RATE,
        example: "240",
        help: "Least speed of a body whose length the application told, in the long run",
        core: "origin.rate_min",
        apply: |v, text| parse::or_off(text).map(|rate| v.core.origin.rate_min = rate),
    },
    Spec {
        key: "backend.timeout_tunnel",
        default: "1h",
        accepted: DURATION,
        example: "1h",
        help: "Longest silence of a WebSocket or an event stream",
        core: "origin.tunnel_timeout",
        apply: |v, text| parse::duration(text).map(|time| v.core.origin.tunnel_timeout = time),
    },
    Spec {
        key: "server.timeout_write",
        default: "15s",
        accepted: DURATION,
        example: "15s",
        help: "Longest time in which a client takes no byte of its answer; up to four times as long \
               for who took much at once before",
        core: "client.write_timeout",
        apply: |v, text| parse::duration(text).map(|time| v.core.client.write_timeout = time),
    },
    Spec {
        key: "server.timeout_read",
        default: "15s",
        accepted: DURATION,
        example: "15s",
        help: "Longest time for a request head, and between two pieces of a request body",
        core: "client.read_timeout",
        apply: |v, text| parse::duration(text).map(|time| v.core.client.read_timeout = time),
    },
    Spec {
        key: "server.timeout_idle",
        default: "60s",
        accepted: DURATION,
        example: "60s",
        help: "Longest time an idle client connection is kept",
        core: "client.idle_timeout",
        apply: |v, text| parse::duration(text).map(|time| v.core.client.idle_timeout = time),
    },
    Spec {
        key: "server.rate_min",
        default: "240",
        accepted: RATE,
        example: "240",
        help: "Least speed of a client that sends a body or takes an answer, in the long run",
        core: "client.rate_min",
        apply: |v, text| parse::or_off(text).map(|rate| v.core.client.rate_min = rate),
    },
    Spec {
        key: "server.send_bytes",
        default: "32MiB",
        accepted: SIZE,
        example: "32MiB",
        help: "Memory for what clients (and the application) are slow to take, in all: the \
               application is free as soon as it has sent an answer. Each may hold 24 KiB besides",
        core: "client.send_bytes_max",
        apply: |v, text| parse::size(text).map(|size| v.core.client.send_bytes_max = size),
    },
    Spec {
        key: "server.connections",
        default: "10000",
        accepted: COUNT,
        example: "10000",
        help: "Most client connections; when all are taken, the longest idle give way",
        core: "",
        apply: |v, text| parse::one_up(text).map(|count| v.places.total = count),
    },
    Spec {
        key: "server.connections_per_address",
        default: "off",
        accepted: "a whole number from 1 up, or `off`",
        example: "100",
        help: "Most connections of one client address (IPv6: of one /64); loopback has no such \
               bound. Leave it off behind a proxy or CDN on another machine",
        core: "",
        apply: |v, text| parse::or_off(text).map(|count| v.places.per_address = count),
    },
    Spec {
        key: "server.timeout_graceshut",
        default: "15s",
        accepted: DURATION,
        example: "15s",
        help: "Time for running requests to end when the program is told to stop",
        core: "",
        apply: |v, text| parse::duration(text).map(|time| v.drain_timeout = time),
    },
    Spec {
        key: "server.head_bytes",
        default: "16KiB",
        accepted: "a size from 1KiB to 65535 bytes",
        example: "16KiB",
        help: "Largest request head",
        core: "client.head_bytes_max",
        apply: |v, text| parse::size(text).map(|bytes| v.core.client.head_bytes_max = bytes),
    },
    Spec {
        key: "server.gzip",
        default: "true",
        accepted: SWITCH,
        example: "true",
        help: "Whether answers are compressed for clients that accept gzip",
        core: "client.gzip",
        apply: |v, text| parse::switch(text).map(|on| v.core.client.gzip = on),
    },
    Spec {
        key: "server.workers",
        default: "cores",
        accepted: "`cores`, or a whole number from 1 to 1024",
        example: "4",
        help: "Worker threads",
        core: "",
        apply: |v, text| parse::workers(text).map(|workers| v.workers = workers),
    },
    Spec {
        key: "admin.listen",
        default: "127.0.0.1:8090",
        accepted: "[host]:port, or `off`",
        example: "127.0.0.1:8090",
        help: "Address of /health, /ready and /metrics; keep it off the internet",
        core: "",
        apply: |v, text| parse::admin(text).map(|admin| v.admin = admin),
    },
    Spec {
        key: "admin.token",
        default: "none",
        accepted: "at least 16 visible characters, or `none`",
        example: "a-long-random-text-of-your-own",
        help: "What the admin address asks for (`Authorization: Bearer`); needed where it is not \
               on loopback, and never shown",
        core: "",
        apply: |v, text| {
            v.admin_token = match text.trim() {
                "none" => None,
                text => Some(super::Secret::parse(text)?),
            };
            Ok(())
        },
    },
    Spec {
        key: "admin.hosts",
        default: "none",
        accepted: "host names separated by commas, or `none`",
        example: "retter.internal",
        help: "Names that the admin address may be asked by, besides addresses and `localhost`",
        core: "",
        apply: |v, text| parse::hosts(text).map(|hosts| v.admin_hosts = hosts),
    },
    Spec {
        key: "log.level",
        default: "info",
        accepted: "off, error, warn, info, debug or trace",
        example: "info",
        help: "Which log lines go to standard error",
        core: "",
        apply: |v, text| {
            let level = text.trim().parse();
            level
                .map(|level| v.log_level = level)
                .map_err(|_| format!("`{text}` is none of them"))
        },
    },
    Spec {
        key: "log.format",
        default: "text",
        accepted: "text or json",
        example: "text",
        help: "Form of the log lines",
        core: "",
        apply: |v, text| {
            v.log_json = match text.trim() {
                "json" => true,
                "text" => false,
                other => return Err(format!("`{other}` is neither")),
            };
            Ok(())
        },
    },
    Spec {
        key: "log.access",
        default: "off",
        accepted: "off, common, combined or json",
        example: "combined",
        help: "Form of the access log on standard output",
        core: "",
        apply: |v, text| {
            v.access = super::AccessFormat::parse(text)?;
            Ok(())
        },
    },
];
