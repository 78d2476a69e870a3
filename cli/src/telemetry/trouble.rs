//! Owns the words for what goes wrong beside exchanges: what happened, which setting or peer it
//! concerns, and what to do.
//! Never decides that it is told.

use retter_core::addresses::{self, Lack};

use crate::runtime::Trouble;

/// One line for the log.
pub(super) fn words(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Accept(error) => {
            let remedy = Lack::of(error).map(remedy);
            let remedy = remedy.map_or_else(String::new, |remedy| format!("; {remedy}"));
            format!(
                "cannot accept connections: {error}{remedy}; clients wait until some are closed; \
                 told at most once a minute"
            )
        }
        Trouble::Full => "all client connections are busy: new ones are refused; raise \
                          RETTER_SERVER_CONNECTIONS if these are honest visitors; told at most \
                          once a minute"
            .to_owned(),
        Trouble::Listen(error) => format!("cannot listen: {error}"),
        Trouble::Origin(trouble) => of_origin(trouble),
        Trouble::Panicked => {
            "a session ended by a panic, which is a bug of this program: please report".to_owned()
        }
    }
}

fn of_origin(trouble: &addresses::Trouble) -> String {
    match trouble {
        addresses::Trouble::Lacking { error, lack } => format!(
            "cannot connect to the application because this machine lacks something, which says \
             nothing of the application: {error}; {}; told at most once a minute",
            remedy(*lack)
        ),
        addresses::Trouble::Unreachable {
            host,
            port,
            error,
            is_silent,
        } => {
            let advice = match is_silent {
                true => {
                    "its machine is down, a firewall is in the way, or its queue of connections is \
                     full; RETTER_BACKEND_TIMEOUT_CONNECT allows longer"
                }
                false => "is it running, and is RETTER_BACKEND_BASEURL right?",
            };
            format!("cannot connect to the application at {host}:{port}: {error}; {advice}")
        }
        addresses::Trouble::Unresolved {
            host,
            error,
            keeps_old,
        } => {
            let meanwhile = match keeps_old {
                true => "; what it stood for before stays in use",
                false => "",
            };
            format!(
                "cannot resolve the application's name `{host}`: {error}{meanwhile}; is \
                 RETTER_BACKEND_BASEURL right, and the name service up?"
            )
        }
    }
}

const fn remedy(lack: Lack) -> &'static str {
    match lack {
        Lack::Files => {
            "each client may need two files: raise the limit of open files (`ulimit -n`, \
             LimitNOFILE), or lower RETTER_SERVER_CONNECTIONS"
        }
        Lack::Memory => "the system has no memory for another socket",
        Lack::Ports => {
            "no local port is free: widen their range (net.ipv4.ip_local_port_range); or this \
             machine has no addresses of that kind"
        }
        Lack::SystemFiles => "raise the limit of open files of the system (fs.file-max)",
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use retter_core::addresses::{Addresses, Outage};
    use retter_core::time::Instant;

    use super::*;

    /// What is told of a connection to the application that failed in this way.
    fn told_of(error: &Error) -> String {
        let mut addresses = Addresses::new("192.0.2.1", 80, Outage::default());
        let trouble = addresses.not_connected(error, Instant::ZERO).unwrap();
        words(&Trouble::Origin(trouble))
    }

    #[test]
    fn what_is_lacking_here_is_told_with_its_remedy_on_both_sides() {
        let cases = [
            (24, "LimitNOFILE"),
            (23, "fs.file-max"),
            (99, "net.ipv4.ip_local_port_range"),
        ];
        for (number, remedy) in cases {
            let lacking = || Error::from_raw_os_error(number);
            for told in [words(&Trouble::Accept(lacking())), told_of(&lacking())] {
                assert!(told.contains(remedy), "{told}");
            }
        }
        let told = words(&Trouble::Accept(ErrorKind::ConnectionAborted.into()));
        assert!(!told.contains("ulimit"), "{told}");
    }

    #[test]
    fn a_silent_application_is_told_apart_from_one_that_refuses() {
        let silent = told_of(&ErrorKind::TimedOut.into());
        assert!(silent.contains("a firewall is in the way"), "{silent}");
        assert!(
            silent.contains("RETTER_BACKEND_TIMEOUT_CONNECT"),
            "{silent}"
        );
        let refused = told_of(&ErrorKind::ConnectionRefused.into());
        assert!(refused.contains("is it running"), "{refused}");
    }
}
