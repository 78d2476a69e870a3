//! Owns the reading of one setting's text: durations, sizes, addresses, lists.
//! Never knows which setting it reads, and never reads an environment or a file.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use retter_core::config::{
    FailTexts, FieldNames, FreshMode, NamePatterns, PathPatterns, RescueMode, SoftMode, StatusSet,
    TrustedProxies,
};

/// A duration as people write it: `15 seconds`, `1m 30s`, `500ms`, `1.5s`; a bare number is
/// seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let bad = || format!("`{text}` is not a duration");
    let number_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    if !unit.is_empty() && !number.contains('.') {
        return humantime::parse_duration(text).map_err(|_| bad());
    }
    let unit = match unit.trim() {
        "" => Duration::from_secs(1),
        // Of which of two units would it be a fraction?
        unit if !unit.chars().all(char::is_alphabetic) => return Err(bad()),
        unit => humantime::parse_duration(&format!("1{unit}")).map_err(|_| bad())?,
    };
    let number: f64 = number.parse().map_err(|_| bad())?;
    Duration::try_from_secs_f64(number * unit.as_secs_f64()).map_err(|_| bad())
}

/// A size: bytes, or with a unit (`64KiB` is 65536, `64KB` is 64000, `64K` is 65536).
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let number_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(format!("`{text}` is not a size")),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| format!("`{text}` is not a size"))?;
    number
        .checked_mul(factor)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| format!("`{text}` is more than this machine can address"))
}

/// A size that is not below `least`.
pub(crate) fn size_from(text: &str, least: usize) -> Result<usize, String> {
    let bytes = size(text)?;
    match bytes >= least {
        true => Ok(bytes),
        false => Err(format!("`{text}` is too small")),
    }
}

/// A folder; the text `none` for none.
pub(crate) fn folder(text: &str) -> Result<Option<PathBuf>, String> {
    match text.trim() {
        "none" => Ok(None),
        "" => Err("it is empty".to_owned()),
        path => Ok(Some(PathBuf::from(path))),
    }
}

/// Yes or no.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

/// A finite number.
pub(crate) fn number(text: &str) -> Result<f64, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
        .ok_or_else(|| format!("`{text}` is not a number"))
}

/// A whole number that fits `T`.
pub(crate) fn count<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is not a whole number in range"))
}

/// A whole number from 1 up.
pub(crate) fn one_up<T: std::str::FromStr + PartialEq + Default>(text: &str) -> Result<T, String> {
    let number: T = count(text)?;
    if number == T::default() {
        return Err(format!("`{text}` is below 1"));
    }
    Ok(number)
}

/// A whole number from 1 up, or `None` for `off`.
pub(crate) fn or_off<T: std::str::FromStr + PartialEq + Default>(
    text: &str,
) -> Result<Option<T>, String> {
    match text.trim() {
        "off" => Ok(None),
        text => one_up(text).map(Some),
    }
}

/// Host names; the text `none` for no name.
pub(crate) fn hosts(text: &str) -> Result<Vec<String>, String> {
    if text.trim() == "none" {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(str::trim)
        .map(|host| {
            let known = is_host_name(host).then(|| host.to_owned());
            known.ok_or_else(|| format!("`{host}` is not a host name"))
        })
        .collect()
}

/// Proxies that are believed; the text `none` for nobody.
pub(crate) fn trusted(text: &str) -> Result<TrustedProxies, String> {
    if text.trim() == "none" {
        return Ok(TrustedProxies::none());
    }
    text.parse()
}

/// Worker threads: `cores` or a number from 1 up.
pub(crate) fn workers(text: &str) -> Result<usize, String> {
    if text.trim() == "cores" {
        return Ok(std::thread::available_parallelism().map_or(1, usize::from));
    }
    match count(text)? {
        workers @ 1..=1024 => Ok(workers),
        other => Err(format!("{other} is outside 1 to 1024")),
    }
}

/// Which responses are kept.
pub(crate) fn rescue(text: &str) -> Result<RescueMode, String> {
    match text.trim() {
        "all" => Ok(RescueMode::All),
        "session" => Ok(RescueMode::Session),
        "strict" => Ok(RescueMode::Strict),
        other => Err(format!("`{other}` is none of them")),
    }
}

/// Which copies answer without asking the application.
pub(crate) fn fresh(text: &str) -> Result<FreshMode, String> {
    match text.trim() {
        "off" => Ok(FreshMode::Off),
        "origin" => Ok(FreshMode::Origin),
        "ttl" => Ok(FreshMode::Ttl),
        other => Err(format!("`{other}` is none of them")),
    }
}

/// What is done about error pages that come with status 200.
pub(crate) fn soft(text: &str) -> Result<SoftMode, String> {
    match text.trim() {
        "off" => Ok(SoftMode::Off),
        "observe" => Ok(SoftMode::Observe),
        "rescue" => Ok(SoftMode::Rescue),
        other => Err(format!("`{other}` is none of them")),
    }
}

/// Texts of error pages; the text `none` for no text.
pub(crate) fn fail_texts(text: &str) -> Result<FailTexts, String> {
    match text.trim() {
        "none" => Ok(FailTexts::default()),
        text => text.parse(),
    }
}

/// Patterns of paths; the text `none` for no path.
pub(crate) fn paths(text: &str) -> Result<PathPatterns, String> {
    match text.trim() {
        "none" => Ok(PathPatterns::default()),
        text => text.parse(),
    }
}

/// An IP address.
pub(crate) fn address(text: &str) -> Result<IpAddr, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("`{text}` is not an IP address"))
}

/// A set of failure statuses.
pub(crate) fn statuses(text: &str) -> Result<StatusSet, String> {
    text.parse()
}

/// Cookie names; the item `known` stands for `known`'s names, the text `none` for no name.
pub(crate) fn names(text: &str, known: &NamePatterns) -> Result<NamePatterns, String> {
    if text.trim() == "none" {
        return Ok(NamePatterns::default());
    }
    let known = known.to_string();
    let items: Vec<_> = text
        .split(',')
        .map(|item| match item.trim() {
            "known" => known.as_str(),
            other => other,
        })
        .collect();
    items.join(",").parse()
}

/// Names of fields beside those that are known, which `known` stands for and which are always there.
pub(crate) fn field_names(text: &str) -> Result<FieldNames, String> {
    let added = |item: &&str| !["known", "none"].contains(item);
    let items: Vec<_> = text.split(',').map(str::trim).filter(added).collect();
    items.join(",").parse()
}

/// Where to listen: `:8089`, `127.0.0.1:8089`, `[::1]:8089` or `name:8089`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Listen {
    /// Empty for every interface; IPv6 without brackets.
    host: String,
    port: u16,
}

impl Listen {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| match text.parse::<u16>() {
                Ok(port) => format!("`{port}` is only a port; write `:{port}`"),
                Err(_) => format!("`{text}` has no port"),
            })?;
        let port = port
            .parse()
            .map_err(|_| format!("`{port}` is not a port from 0 to 65535"))?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match bare {
            Some(host) => {
                let valid = host.parse::<Ipv6Addr>().is_ok();
                valid
                    .then_some(host)
                    .ok_or_else(|| format!("`{host}` is not an IPv6 address"))?
            }
            None if host.contains(':') => {
                return Err(format!(
                    "an IPv6 address is written in brackets: `[{host}]:{port}`"
                ));
            }
            None if host.is_empty() || is_host_name(host) => host,
            None => return Err(format!("`{host}` is not a host name or address")),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// Whether a connection to `host` and `port` would arrive here, as far as names tell.
    pub(crate) fn takes(&self, host: &str, port: u16) -> bool {
        let is_local = |host: &str| {
            host == "localhost"
                || host
                    .parse::<IpAddr>()
                    .is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
        };
        let here = self.host.is_empty() || is_local(&self.host) || self.host == host;
        self.port == port && here && (is_local(host) || self.host == host)
    }

    /// Whether only this machine can connect; a name other than `localhost` may lead anywhere.
    pub(crate) fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// The socket addresses; asks the resolver for a name. Of several that it stands for those
    /// count that this machine has: `localhost` is two, also where there is no IPv6.
    pub(crate) fn addrs(&self) -> io::Result<Vec<SocketAddr>> {
        if self.host.is_empty() {
            return Ok(vec![every_interface(self.port)]);
        }
        let mut addrs: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        addrs.dedup();
        let is_here = |addr: &SocketAddr| UdpSocket::bind((addr.ip(), 0)).is_ok();
        if addrs.iter().any(is_here) {
            addrs.retain(is_here);
        }
        Ok(addrs)
    }
}

/// One dual-stack address, or IPv4 alone where the machine has no IPv6 (common in containers).
fn every_interface(port: u16) -> SocketAddr {
    if UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok() {
        (Ipv6Addr::UNSPECIFIED, port).into()
    } else {
        (Ipv4Addr::UNSPECIFIED, port).into()
    }
}

/// The admin address: [`Listen`], or `None` for `off`.
pub(crate) fn admin(text: &str) -> Result<Option<Listen>, String> {
    if text.trim() == "off" {
        return Ok(None);
    }
    Listen::parse(text).map(Some)
}

/// The origin's base URL, taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BaseUrl {
    /// `host[:port]` as written, for the `Host` field.
    pub(crate) authority: String,
    /// The host to connect to; IPv6 without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Empty, or `/prefix` without a last `/`.
    pub(crate) prefix: String,
}

impl BaseUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let bad = || format!("`{text}` is not a URL");
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| format!("`{text}` does not begin with http://"))?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => {
                return Err(
                    "https origins are not supported yet; use the application's plain \
                            http port, or a TLS tunnel (stunnel, socat) beside this program"
                        .to_owned(),
                );
            }
            other => return Err(format!("`{other}` is not a scheme this program speaks")),
        }
        if rest.contains('#') {
            return Err("a fragment (`#...`) never reaches a server; leave it out".to_owned());
        }
        if rest.contains('?') {
            return Err("every request has its own query; leave `?...` out".to_owned());
        }
        if rest
            .split('/')
            .next()
            .is_some_and(|host| host.contains('@'))
        {
            return Err(
                "user and password in a URL end up in logs; let the client send \
                        Authorization, which is passed on"
                    .to_owned(),
            );
        }
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let authority = uri.authority().ok_or_else(bad)?;
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let valid = match bare {
            Some(host) => host.parse::<Ipv6Addr>().is_ok(),
            None => is_host_name(host),
        };
        if !valid {
            return Err(format!("`{host}` is not a host name or address"));
        }
        let port_text = authority.as_str().get(host.len()..).unwrap_or_default();
        let port = match port_text.strip_prefix(':') {
            None => 80,
            Some(port) => port
                .parse()
                .ok()
                .filter(|&port| port > 0)
                .ok_or_else(|| format!("`{port}` is not a port from 1 to 65535"))?,
        };
        Ok(Self {
            authority: authority.as_str().to_owned(),
            host: bare.unwrap_or(host).to_owned(),
            port,
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// Whether `host` has only the characters of names and IPv4 addresses (`_` occurs in the names
/// of compose services).
fn is_host_name(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}
/// Where copies are shared; `None` for nowhere.
pub(super) fn shared(text: &str) -> Result<Option<retter_shared::Address>, String> {
    match text.trim() {
        "off" => Ok(None),
        url => match retter_shared::Address::parse(url) {
            Ok(address) => Ok(Some(address)),
            Err(why) => Err(why.to_string()),
        },
    }
}

/// Which copies are shared.
pub(super) fn shared_scope(text: &str) -> Result<retter_shared::Scope, String> {
    match text.trim() {
        "all" => Ok(retter_shared::Scope::All),
        "shared" => Ok(retter_shared::Scope::Shared),
        other => Err(format!("`{other}` is none of them")),
    }
}

/// The secret that instances share.
pub(super) fn shared_secret(text: &str) -> Result<Option<retter_shared::Secret>, String> {
    match text.trim() {
        "none" => Ok(None),
        secret => match retter_shared::Secret::new(secret.as_bytes()) {
            Some(secret) => Ok(Some(secret)),
            None => Err(format!(
                "it is shorter than {} characters",
                retter_shared::SECRET_BYTES_MIN
            )),
        },
    }
}
