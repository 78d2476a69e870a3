//! Owns the words for what goes wrong beside exchanges: what happened, which setting or peer it
//! concerns, and what to do.
//! Never decides that it is told.

use retter_core::addresses::{self, Lack};

use crate::runtime::Trouble;

/// One line for the log.
pub(super) fn words(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Accept(error) => format!(
            "cannot accept connections: {error}; raise the limit of open files (ulimit -n) if that \
             is the cause; told at most once a minute"
        ),
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
        addresses::Trouble::Unreachable { host, port, error } => format!(
            "cannot connect to the application at {host}:{port}: {error}; is it running, and is \
             RETTER_BACKEND_BASEURL right?"
        ),
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
