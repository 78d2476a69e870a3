//! Owns how many files and sockets the process may have open.
//! Never asks for more than the system lets it have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A client whose request is at the application has two sockets.
const EACH: u64 = 2;

/// Sockets and files besides: idle connections to the application, listeners, logs.
const OTHERS: u64 = 512;

/// Raises the limit to what `connections` need at most, as far as it goes; what to tell where not
/// even clients that wait for their next request would all have a socket.
pub(crate) fn allow(connections: usize) -> Option<String> {
    let connections = u64::try_from(connections).ok()?;
    let wanted = connections.saturating_mul(EACH).saturating_add(OTHERS);
    let needed = connections.saturating_add(OTHERS);
    let limit = getrlimit(Resource::Nofile);
    // `None` is no limit at all.
    let current = limit.current.filter(|&current| current < wanted)?;
    // Where the limit that cannot be raised is in between, who has too many at the application at
    // a time is told so then.
    let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let new = Rlimit {
        current: Some(raised.max(current)),
        maximum: limit.maximum,
    };
    let raised = setrlimit(Resource::Nofile, new).map_or(current, |()| raised);
    if raised >= needed {
        return None;
    }
    Some(format!(
        "{connections} client connections need a limit of {needed} to {wanted} open files and \
         there are {raised}: raise it (`ulimit -n`, LimitNOFILE), or lower RETTER_SERVER_CONNECTIONS"
    ))
}
