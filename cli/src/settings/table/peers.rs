//! Owns the settings of the application, of clients, of the admin address and of logs.
//! Never owns their order with the others: that is `table`.

use super::{COUNT, DURATION, RATE, SIZE, SWITCH};
use crate::notify::{Format, Receiver};
use crate::settings::Choice;
use crate::settings::spec::Spec;
use crate::settings::{AccessFormat, Secret, parse};

const HEAD_FIELDS: &str = "a whole number from 10 to 1000";

pub(super) const SPECS: &[Spec] = &[
    Spec {
        key: "backend.concurrency",
        default: "256",
        accepted: COUNT,
        example: "64",
        help: "Most requests at the application at one time; how many it bears is found out",
        core: "admission.in_flight_max",
        apply: |v, text| {
            parse::count(text).map(|count| v.core.site.admission.in_flight_max = count)
        },
    },
    Spec {
        key: "backend.refresh_share",
        default: "0.25",
        accepted: "a number from 0 to 1; 0 for never",
        example: "0.2",
        help: "Share of them that may renew copies and probe circuits though no visitor waits",
        core: "admission.background_share",
        apply: |v, text| {
            parse::number(text).map(|share| v.core.site.admission.background_share = share)
        },
    },
    Spec {
        key: "backend.waiting_max",
        default: "256",
        accepted: "a whole number; 0 for none",
        example: "1000",
        help: "Most requests that may wait inside the application, as long polls do, without counting as work; how many it bears is found out",
        core: "admission.parked_max",
        apply: |v, text| parse::count(text).map(|count| v.core.site.admission.parked_max = count),
    },
    Spec {
        key: "backend.concurrency_min",
        default: "1",
        accepted: COUNT,
        example: "2",
        help: "Fewest that are let in, however slow it gets; the same as the most fixes the number",
        core: "admission.in_flight_min",
        apply: |v, text| {
            parse::count(text).map(|count| v.core.site.admission.in_flight_min = count)
        },
    },
    Spec {
        key: "backend.queue_timeout",
        default: "1s",
        accepted: DURATION,
        example: "500ms",
        help: "Longest time a request waits for the application to have room",
        core: "admission.queue_timeout",
        apply: |v, text| {
            parse::duration(text).map(|time| v.core.site.admission.queue_timeout = time)
        },
    },
    Spec {
        key: "backend.restart_wait",
        default: "5s",
        accepted: "a duration; 0 for not at all",
        example: "10s",
        help: "How long a request without a copy waits for an application that takes no connections, from the first that it refused on; at most 1024 wait, 256 of the places for writes",
        core: "admission.restart_wait",
        apply: |v, text| {
            parse::duration(text).map(|wait| v.core.site.admission.restart_wait = wait)
        },
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
        apply: |v, text| {
            parse::duration(text).map(|time| v.core.site.origin.connect_timeout = time)
        },
    },
    Spec {
        key: "backend.timeout_head",
        default: "15s",
        accepted: DURATION,
        example: "15s",
        help: "Longest time until the application begins to answer",
        core: "origin.head_timeout",
        apply: |v, text| parse::duration(text).map(|time| v.core.site.origin.head_timeout = time),
    },
    Spec {
        key: "backend.timeout_wait",
        default: "2m",
        accepted: DURATION,
        example: "5m",
        help: "Longest time until the application answers a request that only waits there, as a long poll does, while others are answered",
        core: "origin.wait_timeout",
        apply: |v, text| parse::duration(text).map(|time| v.core.site.origin.wait_timeout = time),
    },
    Spec {
        key: "backend.timeout_body",
        default: "60s",
        accepted: DURATION,
        example: "60s",
        help: "Longest pause inside a body",
        core: "origin.body_timeout",
        apply: |v, text| parse::duration(text).map(|time| v.core.site.origin.body_timeout = time),
    },
    Spec {
        key: "backend.rate_min",
        default: "240",
        accepted: RATE,
        example: "240",
        help: "Least speed of a body whose length the application told, in the long run",
        core: "origin.rate_min",
        apply: |v, text| parse::or_off(text).map(|rate| v.core.site.origin.rate_min = rate),
    },
    Spec {
        key: "backend.timeout_tunnel",
        default: "1h",
        accepted: DURATION,
        example: "1h",
        help: "Longest silence of a WebSocket or an event stream",
        core: "origin.tunnel_timeout",
        apply: |v, text| parse::duration(text).map(|time| v.core.site.origin.tunnel_timeout = time),
    },
    Spec {
        key: "backend.head_bytes",
        default: "60KiB",
        accepted: "a size from 1KiB to 65535 bytes",
        example: "60KiB",
        help: "Largest head of an answer; a larger one is a bad answer (502), and the log says so",
        core: "origin.head_bytes_max",
        apply: |v, text| parse::size(text).map(|bytes| v.core.site.origin.head_bytes_max = bytes),
    },
    Spec {
        key: "backend.head_fields",
        default: "200",
        accepted: HEAD_FIELDS,
        example: "200",
        help: "Most fields in the head of an answer, or in its trailers",
        core: "origin.head_fields_max",
        apply: |v, text| parse::count(text).map(|count| v.core.site.origin.head_fields_max = count),
    },
    Spec {
        key: "server.timeout_write",
        default: "15s",
        accepted: DURATION,
        example: "15s",
        help: "Longest time in which a client takes no byte of its answer; up to four times as long \
               for one that took much at once before",
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
        help: "Most client connections; when all are taken, the longest idle give way, then slow clients of the network that has the most",
        core: "",
        apply: |v, text| parse::one_up(text).map(|count| v.seats.total = count),
    },
    Spec {
        key: "server.connections_per_address",
        default: "off",
        accepted: "a whole number from 1 up, or `off`",
        example: "100",
        help: "Most connections of one address (IPv6: of one /64); trusted proxies have no such bound",
        core: "",
        apply: |v, text| parse::or_off(text).map(|count| v.seats.per_address = count),
    },
    Spec {
        key: "server.trusted_proxies",
        default: "127.0.0.0/8,::1",
        accepted: "addresses and networks separated by commas, or `none`",
        example: "127.0.0.0/8,::1,172.18.0.0/16",
        help: "Proxies in front whose word is taken on the client's address, the scheme and the host \
               (`X-Forwarded-*`, `Forwarded`, `X-Real-IP`); from anybody else such fields are dropped",
        core: "",
        apply: |v, text| {
            parse::trusted(text).map(|trusted| v.core.client.trusted_proxies = trusted)
        },
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
        key: "server.head_fields",
        default: "100",
        accepted: HEAD_FIELDS,
        example: "100",
        help: "Most fields in a request head, or in its trailers",
        core: "client.head_fields_max",
        apply: |v, text| parse::count(text).map(|count| v.core.client.head_fields_max = count),
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
        key: "server.error_pages",
        default: "none",
        accepted: "a folder with some of busy.html, down.html, maintenance.html, may-have-arrived.html, \
                   not-sent.html and waiting.html, or `none`",
        example: "/etc/retter/pages",
        help: "Your own pages for visitors without a copy; `{status}`, `{retry_after}` (seconds), \
               `{request_id}`, `{message}` (of `retter maintenance`), `{public}` (a button for the public version), \
               and of the waiting room `{place}` and `{minutes}`, in them are filled in",
        core: "",
        apply: |v, text| {
            v.error_pages = match text.trim() {
                "none" => None,
                folder => Some(folder.into()),
            };
            Ok(())
        },
    },
    Spec {
        key: "server.own_path",
        default: "/.retter",
        accepted: "a path that begins with `/` and does not end so, or `none`",
        example: "/.retter",
        help: "Path below which RETTER answers itself: `/public` below it is where the button for the public \
               version of a page leads to; `none` for no such button",
        core: "client.own_path",
        apply: |v, text| {
            v.core.client.own_path = match text.trim() {
                "none" => String::new(),
                path => path.to_owned(),
            };
            Ok(())
        },
    },
    Spec {
        key: "server.request_id",
        default: "true",
        accepted: SWITCH,
        example: "true",
        help: "Whether each request has an `X-Request-Id`: in its answer, toward the application, and in the \
               log; that of a trusted proxy is taken over, all others are replaced",
        core: "client.request_ids",
        apply: |v, text| parse::switch(text).map(|on| v.core.client.request_ids = on),
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
        key: "admin.socket",
        default: "auto",
        accepted: "a path that begins with `/`, `auto` or `off`",
        example: "/run/retter/retter.sock",
        help: "Socket by which commands (`retter status`) on the same machine reach the instance without \
               a token; its owner alone may use it. `auto` is retter.sock in $RUNTIME_DIRECTORY, \
               $XDG_RUNTIME_DIR or /run/retter, where there is one of them",
        core: "",
        apply: |v, text| Choice::parse(text).map(|choice| v.admin_socket = choice),
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
                text => Some(Secret::parse(text)?),
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
        key: "notify.command",
        default: "none",
        accepted: "a program with its arguments, separated by spaces or as a JSON array, or `none`",
        example: "/usr/local/bin/page on-call",
        help: "Program that is run when the application is down (after RETTER_NOTIFY_AFTER), each half hour \
               that it stays so, and when it is back; it gets JSON on its standard input and 10 s. Never shown",
        core: "",
        apply: |v, text| {
            v.notify.command = match text.trim() {
                "none" => None,
                text => Some(Receiver::command(text)?),
            };
            Ok(())
        },
    },
    Spec {
        key: "notify.url",
        default: "none",
        accepted: "an http:// address, or `none`",
        example: "http://ntfy.internal/shop",
        help: "Address to which the same is sent with POST. Never shown",
        core: "",
        apply: |v, text| {
            v.notify.url = match text.trim() {
                "none" => None,
                text => Some(Receiver::url(text)?),
            };
            Ok(())
        },
    },
    Spec {
        key: "notify.format",
        default: "generic",
        accepted: "generic, ntfy, slack, discord or alertmanager",
        example: "ntfy",
        help: "What is sent there; for Alertmanager the address ends in /api/v2/alerts",
        core: "",
        apply: |v, text| Format::parse(text).map(|format| v.notify.format = Some(format)),
    },
    Spec {
        key: "notify.after",
        default: "30s",
        accepted: "a duration; 0 for at once",
        example: "2m",
        help: "How long the application has to be down until anybody is told",
        core: "",
        apply: |v, text| parse::duration(text).map(|after| v.notify.after = after),
    },
    Spec {
        key: "state.dir",
        default: "none",
        accepted: "a folder, or `none`",
        example: "/var/lib/retter",
        help: "Where the program keeps what outlives it: copies, and the secret that they belong to. \
               Where it is not set, the StateDirectory of a systemd service",
        core: "",
        apply: |v, text| parse::folder(text).map(|folder| v.state_dir = folder),
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
            v.access = AccessFormat::parse(text)?;
            Ok(())
        },
    },
    Spec {
        key: "log.outages",
        default: "auto",
        accepted: "a path that begins with `/`, `auto` or `off`",
        example: "/var/lib/retter/outages.jsonl",
        help: "File of outages, a line of JSON whenever one begins, goes on or ends; read at start. `auto` \
               is outages.jsonl in RETTER_STATE_DIR, where there is one",
        core: "",
        apply: |v, text| Choice::parse(text).map(|choice| v.outages = choice),
    },
];
