//! Owns where the Redis is and how to sign in there ([`Address`]), as people write it: a URL.
//! Never connects, and never shows the password.

use std::fmt;

use retter_core::rules::percent;

const PORT: u16 = 6379;

/// Where the Redis is.
#[derive(Clone, Eq, PartialEq)]
pub struct Address {
    /// As it is looked up: a name, an IPv4 address, or an IPv6 address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    /// The number of a database; 0 is that of the beginning.
    pub(crate) database: u32,
}

/// Why a text is no address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// Another scheme.
    #[error("it does not begin with redis://")]
    Scheme,
    /// TLS is asked for.
    #[error(
        "rediss:// (TLS) is not supported: give redis:// and an address inside of a private network or of a \
         tunnel; copies are sealed in any case"
    )]
    Tls,
    /// No host.
    #[error("it names no host")]
    Host,
    /// A port that is none.
    #[error("its port is no number from 1 to 65535")]
    Port,
    /// What follows the host is no database.
    #[error("what follows its host is no number of a database")]
    Database,
    /// A percent sign without two digits behind it.
    #[error("its user or password is not percent-encoded")]
    Encoding,
}

impl Address {
    /// Reads `redis://[[user][:password]@]host[:port][/database]`.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.starts_with("rediss://") {
            return Err(AddressError::Tls);
        }
        let rest = text.strip_prefix("redis://").ok_or(AddressError::Scheme)?;
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let database = match database {
            "" => 0,
            number => number.parse().map_err(|_| AddressError::Database)?,
        };
        let (host, port) = host_and_port(authority)?;
        let (user, password) = match credentials.map(|it| it.split_once(':').unwrap_or((it, ""))) {
            None => (None, None),
            Some((user, password)) => (decoded(user)?, decoded(password)?),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            user,
            password,
            database,
        })
    }
}

fn host_and_port(authority: &str) -> Result<(&str, u16), AddressError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(AddressError::Host)?;
            (host, port.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err(AddressError::Host);
    }
    let port = port.map_or(Ok(PORT), |port| {
        port.parse().map_err(|_| AddressError::Port)
    })?;
    match port {
        0 => Err(AddressError::Port),
        port => Ok((host, port)),
    }
}

/// `None` for an empty text.
fn decoded(text: &str) -> Result<Option<String>, AddressError> {
    let bytes = percent::decoded(text.as_bytes()).ok_or(AddressError::Encoding)?;
    let text = String::from_utf8(bytes).map_err(|_| AddressError::Encoding)?;
    Ok((!text.is_empty()).then_some(text))
}

/// Host and port.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_people_write_it() {
        type Expected = (
            &'static str,
            u16,
            Option<&'static str>,
            Option<&'static str>,
            u32,
        );
        #[track_caller]
        fn check(text: &str, (host, port, user, password, database): Expected) {
            let address = Address::parse(text).unwrap();
            let owned = |text: Option<&str>| text.map(str::to_owned);
            assert_eq!(address.host, host);
            assert_eq!(address.port, port);
            assert_eq!(address.user, owned(user));
            assert_eq!(address.password, owned(password));
            assert_eq!(address.database, database);
            assert!(
                password
                    .is_none_or(|password| !format!("{address:?} {address}").contains(password))
            );
        }
        check("redis://h", ("h", 6379, None, None, 0));
        check("redis://10.0.0.1:7000/3", ("10.0.0.1", 7000, None, None, 3));
        check("redis://[::1]:7000", ("::1", 7000, None, None, 0));
        check("redis://:s%40e@h/", ("h", 6379, None, Some("s@e"), 0));
        check(
            "redis://me:se:cret@h:1",
            ("h", 1, Some("me"), Some("se:cret"), 0),
        );
        for (text, why) in [
            ("h:6379", AddressError::Scheme),
            ("rediss://h", AddressError::Tls),
            ("redis://", AddressError::Host),
            ("redis://:1", AddressError::Host),
            ("redis://h:0", AddressError::Port),
            ("redis://h:x", AddressError::Port),
            ("redis://h/x", AddressError::Database),
            ("redis://:%4@h", AddressError::Encoding),
        ] {
            assert_eq!(Address::parse(text), Err(why), "{text}");
        }
    }
}
