//! Owns the settings of copies and circuits, and the two addresses that everybody sets.
//! Never owns their order with the others: that is `table`.

use retter_core::config::NamePatterns;

use super::{COUNT, DURATION, FIELDS, NAMES, PARAMETERS, SIZE, SWITCH};
use crate::settings::spec::Spec;
use crate::settings::{DiskMode, parse};

pub(super) const SPECS: &[Spec] = &[
    Spec {
        key: "backend.baseurl",
        default: "http://localhost:8088",
        accepted: "http://host[:port][/prefix]",
        example: "http://localhost:8088",
        help: "Base URL of the application; a path prefix in it is put before every path",
        core: "origin.authority",
        apply: |v, text| {
            v.origin = parse::BaseUrl::parse(text)?;
            v.core.site.origin.authority.clone_from(&v.origin.authority);
            v.core.site.origin.path_prefix.clone_from(&v.origin.prefix);
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
        key: "server.waiting_room",
        default: "true",
        accepted: SWITCH,
        example: "true",
        help: "Whether visitors who want a page get a place and a time while the application is full, and are \
               let in in order; it needs a cookie of RETTER's own (`retter-room`) and no script",
        core: "admission.waiting_room",
        apply: |v, text| parse::switch(text).map(|on| v.core.site.admission.waiting_room = on),
    },
    Spec {
        key: "cache.ttl",
        default: "5",
        accepted: DURATION,
        example: "5s",
        help: "Age below which a copy is labelled `cache`, above it `last-known-success`",
        core: "cache.ttl",
        apply: |v, text| parse::duration(text).map(|ttl| v.core.site.cache.ttl = ttl),
    },
    Spec {
        key: "cache.detect_query",
        default: "true",
        accepted: SWITCH,
        example: "true",
        help: "Whether the query string is part of the cache key",
        core: "cache.detect_query",
        apply: |v, text| parse::switch(text).map(|on| v.core.site.cache.detect_query = on),
    },
    Spec {
        key: "cache.detect_session",
        default: "true",
        accepted: SWITCH,
        example: "true",
        help: "Whether session cookies and credentials are part of the cache key",
        core: "cache.detect_session",
        apply: |v, text| parse::switch(text).map(|on| v.core.site.cache.detect_session = on),
    },
    Spec {
        key: "cache.fresh",
        default: "origin",
        accepted: "off, origin or ttl",
        example: "origin",
        help: "Which copies answer without asking the application: `off` none, `origin` those that \
               it calls fresh, `ttl` also those without a word about it, for `RETTER_CACHE_TTL`",
        core: "cache.fresh",
        apply: |v, text| parse::fresh(text).map(|mode| v.core.site.cache.fresh = mode),
    },
    Spec {
        key: "cache.rescue",
        default: "session",
        accepted: "session, strict or all",
        example: "session",
        help: "What is kept: `session` keeps private answers only for their own session, \
               `strict` obeys RFC 9111 to the letter, `all` keeps every 200",
        core: "cache.rescue",
        apply: |v, text| parse::rescue(text).map(|mode| v.core.site.cache.rescue = mode),
    },
    Spec {
        key: "cache.rescue_age_max",
        default: "24h",
        accepted: DURATION,
        example: "24h",
        help: "Age above which a copy rescues nobody",
        core: "cache.rescue_age_max",
        apply: |v, text| parse::duration(text).map(|age| v.core.site.cache.rescue_age_max = age),
    },
    Spec {
        key: "cache.bytes",
        default: "64MiB",
        accepted: SIZE,
        example: "64MiB",
        help: "Memory for all copies",
        core: "cache.bytes_max",
        apply: |v, text| parse::size(text).map(|bytes| v.core.site.cache.bytes_max = bytes),
    },
    Spec {
        key: "cache.entries",
        default: "100000",
        accepted: COUNT,
        example: "100000",
        help: "Number of all copies",
        core: "cache.entries_max",
        apply: |v, text| parse::count(text).map(|count| v.core.site.cache.entries_max = count),
    },
    Spec {
        key: "cache.object_bytes",
        default: "4MiB",
        accepted: SIZE,
        example: "4MiB",
        help: "Largest body that is kept; larger ones pass through",
        core: "cache.object_bytes_max",
        apply: |v, text| parse::size(text).map(|bytes| v.core.site.cache.object_bytes_max = bytes),
    },
    Spec {
        key: "cache.disk",
        default: "shared",
        accepted: "off, shared or all; the last two with RETTER_STATE_DIR",
        example: "shared",
        help: "Which copies outlive the program, in `RETTER_STATE_DIR`: `shared` those that everybody \
               may see, `all` those of sessions too, and all of them sealed",
        core: "",
        apply: |v, text| DiskMode::parse(text).map(|disk| v.disk = disk),
    },
    Spec {
        key: "cache.disk_bytes",
        default: "256MiB",
        accepted: "a size from 1MiB up",
        example: "1GiB",
        help: "Room on the disk for copies; twice `RETTER_CACHE_BYTES` and more",
        core: "",
        apply: |v, text| parse::size_from(text, 1 << 20).map(|bytes| v.disk_bytes = bytes),
    },
    Spec {
        key: "cache.shared",
        default: "off",
        accepted: "`redis://host:port`, with `user:password@` before and `/database` behind it where \
                   needed, or `off`; with RETTER_CACHE_SHARED_SECRET",
        example: "redis://10.0.0.5:6379",
        help: "A Redis (5.0 or later, or Valkey) over which instances in front of one application share \
               copies and tell each other what is wrong; asked only where there is no other answer",
        core: "",
        apply: |v, text| parse::shared(text).map(|address| v.shared = address),
    },
    Spec {
        key: "cache.shared_scope",
        default: "shared",
        accepted: "shared or all",
        example: "shared",
        help: "Which copies instances share: `shared` those that everybody may see, `all` those of sessions \
               too; all of them sealed",
        core: "",
        apply: |v, text| parse::shared_scope(text).map(|scope| v.shared_scope = scope),
    },
    Spec {
        key: "cache.shared_secret",
        default: "none",
        accepted: "32 characters and more, or `none`",
        example: "what-openssl-rand-hex-32-prints-and-nobody-knows",
        help: "Seals what instances share: the same for all that are in front of one application, and for \
               nobody else",
        core: "",
        apply: |v, text| parse::shared_secret(text).map(|secret| v.shared_secret = secret),
    },
    Spec {
        key: "cache.exclude",
        default: "none",
        accepted: "patterns of paths separated by commas, `*` for any text, or `none`",
        example: "/healthz,/admin/*",
        help: "Paths to leave alone: never kept, never answered from a copy, asked for also while \
               the circuit is open; for monitors and back offices",
        core: "cache.excluded_paths",
        apply: |v, text| parse::paths(text).map(|paths| v.core.site.cache.excluded_paths = paths),
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
                .map(|names| v.core.site.cache.session_cookies = names)
        },
    },
    Spec {
        key: "cache.ignored_cookies",
        default: "known",
        accepted: NAMES,
        example: "known,my_banner",
        help: "Cookies that never change a page (analytics, consent banners, load balancers)",
        core: "cache.ignored_cookies",
        apply: |v, text| {
            parse::names(text, &NamePatterns::ignored_cookies())
                .map(|names| v.core.site.cache.ignored_cookies = names)
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
                .map(|names| v.core.site.cache.ignored_query = names)
        },
    },
    Spec {
        key: "cache.harmless_fields",
        default: "known",
        accepted: FIELDS,
        example: "known,x-cdn-*",
        help: "Request fields that change no page; every field that is not known identifies who \
               asks, and keeps copies apart",
        core: "cache.harmless_fields",
        apply: |v, text| {
            parse::field_names(text).map(|names| v.core.site.cache.harmless_fields = names)
        },
    },
    Spec {
        key: "cache.identity_fields",
        default: "known",
        accepted: FIELDS,
        example: "known,x-device",
        help: "Request fields that identify who asks, though RETTER knows them as harmless or as \
               shaping the page for all who send them",
        core: "cache.identity_fields",
        apply: |v, text| {
            parse::field_names(text).map(|names| v.core.site.cache.identity_fields = names)
        },
    },
    Spec {
        key: "cache.public",
        default: "on",
        accepted: SWITCH,
        example: "on",
        help: "Whether the application is asked as a stranger, without any cookie, for pages that \
               visitors want, and what it sends is given to visitors without a copy of their own \
               when it does not answer; only with `RETTER_CACHE_RESCUE=session`",
        core: "cache.public",
        apply: |v, text| parse::switch(text).map(|on| v.core.site.cache.public = on),
    },
    Spec {
        key: "cache.public_share",
        default: "0.1",
        accepted: "a number above 0 and up to 1",
        example: "0.1",
        help: "Part of one worker's time at the application that asking as a stranger may take",
        core: "cache.public_share",
        apply: |v, text| parse::number(text).map(|share| v.core.site.cache.public_share = share),
    },
    Spec {
        key: "cache.public_address",
        default: "192.31.196.1",
        accepted: "an IP address",
        example: "192.31.196.1",
        help: "Address that the application is told as a stranger's: a global one that is nobody's",
        core: "cache.public_address",
        apply: |v, text| parse::address(text).map(|ip| v.core.site.cache.public_address = ip),
    },
    Spec {
        key: "breaker.fail_rate",
        default: "0.66",
        accepted: "a number above 0 and up to 1",
        example: "0.66",
        help: "Share of failures in the window that opens the circuit",
        core: "breaker.failure_rate",
        apply: |v, text| parse::number(text).map(|rate| v.core.site.breaker.failure_rate = rate),
    },
    Spec {
        key: "breaker.consecutive_fail",
        default: "5",
        accepted: COUNT,
        example: "5",
        help: "Failures in a row that open the circuit",
        core: "breaker.consecutive_failures",
        apply: |v, text| {
            parse::count(text).map(|count| v.core.site.breaker.consecutive_failures = count)
        },
    },
    Spec {
        key: "breaker.fail_status",
        default: "500-599,!501,!505",
        accepted: "status codes and ranges from 400 to 599 separated by commas; `!` takes out",
        example: "429,500-599,!501,!505",
        help: "Status codes that count as failures",
        core: "breaker.failure_statuses",
        apply: |v, text| {
            parse::statuses(text).map(|set| v.core.site.breaker.failure_statuses = set)
        },
    },
    Spec {
        key: "breaker.soft",
        default: "rescue",
        accepted: "off, observe, rescue",
        example: "rescue",
        help: "Error pages that come with status 200: `rescue` keeps the copy that they would \
               replace, and answers with it; `observe` counts and logs them only",
        core: "breaker.soft",
        apply: |v, text| parse::soft(text).map(|mode| v.core.site.breaker.soft = mode),
    },
    Spec {
        key: "breaker.fail_text",
        default: "none",
        accepted: "texts of six characters and more separated by commas, or `none`",
        example: "Too many visitors,Zu viele Besucher",
        help: "Texts of the application's own error pages that come with status 200; those of \
               databases, PHP, WordPress and others are known",
        core: "breaker.failure_texts",
        apply: |v, text| {
            parse::fail_texts(text).map(|texts| v.core.site.breaker.failure_texts = texts)
        },
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
            v.core.site.breaker.slow_rate = match text.trim() {
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
        apply: |v, text| parse::duration(text).map(|time| v.core.site.breaker.slow_min = time),
    },
    Spec {
        key: "breaker.window",
        default: "10s",
        accepted: DURATION,
        example: "10s",
        help: "Length of the sliding window that failures are counted in",
        core: "breaker.window",
        apply: |v, text| parse::duration(text).map(|window| v.core.site.breaker.window = window),
    },
    Spec {
        key: "breaker.open_min",
        default: "1s",
        accepted: DURATION,
        example: "2s",
        help: "First open time; it doubles with each probe that fails",
        core: "breaker.open_min",
        apply: |v, text| parse::duration(text).map(|open| v.core.site.breaker.open_min = open),
    },
    Spec {
        key: "breaker.open_max",
        default: "10s",
        accepted: DURATION,
        example: "60s",
        help: "Longest open time of a page; that of the whole application is 2 s at most, or the first one",
        core: "breaker.open_max",
        apply: |v, text| parse::duration(text).map(|open| v.core.site.breaker.open_max = open),
    },
];
