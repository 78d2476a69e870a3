//! Owns how commands speak to the instance that runs with the same settings, by its admin address.
//! Never starts one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Duration;

use http::Method;

use crate::client::{self, Error, Question, Reply};
use crate::settings::{Loaded, Values};
use crate::{failed, out};

/// An instance on the same machine answers in no time.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Asks the instance; `None` where the settings name no admin address.
pub(crate) fn ask(values: &Values, method: &Method, path: &str) -> Option<Result<Reply, Error>> {
    let listen = values.admin.as_ref()?;
    let addr = listen.addrs().and_then(|addrs| {
        let first = addrs.first().copied();
        first.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    });
    let mut addr = match addr {
        Ok(addr) => addr,
        Err(error) => return Some(Err(Error::Resolve(error))),
    };
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    let token = values.admin_token.as_ref();
    let token = token.map(|token| format!("Bearer {}", token.reveal()));
    let more = token.iter().map(|token| ("Authorization", token.as_str()));
    let more: Vec<_> = more.collect();
    Some(client::ask(Question {
        method,
        host: &addr.ip().to_string(),
        port: addr.port(),
        authority: &addr.to_string(),
        path,
        more: &more,
        timeout: TIMEOUT,
    }))
}

/// Lets the instance read its settings file again, and says what came of it.
pub(crate) fn reload(loaded: Loaded) -> ExitCode {
    let values = &loaded.values;
    match ask(values, &Method::POST, "/reload") {
        None => failed(format_args!(
            "these settings name no admin address, so the instance cannot be asked; send it \
             SIGHUP, or set RETTER_ADMIN_LISTEN"
        )),
        Some(Ok(answer)) => {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let text = text.trim_end();
            match answer.status {
                200 => {
                    out::line(format_args!("{text}"));
                    ExitCode::SUCCESS
                }
                _ => failed(format_args!("{text}")),
            }
        }
        Some(Err(error)) => failed(format_args!(
            "the instance was not reached at its admin address: {error}\n  Is it running, with \
             this RETTER_ADMIN_LISTEN?"
        )),
    }
}
