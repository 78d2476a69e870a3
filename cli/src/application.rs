//! Owns the first look at the application: whether it takes connections, and what to do where it does
//! not.
//! Never sends it a request: `retter check` does, when asked to.

use std::time::Duration;

use crate::client::{self, Error};
use crate::settings::Loaded;
use crate::telemetry::escape;

/// Looks once, on a thread of its own, and warns where nobody is there.
pub(crate) fn look(loaded: &Loaded) {
    let values = &loaded.values;
    let timeouts = &values.core.site.origin;
    let (connect_timeout, head_timeout) = (timeouts.connect_timeout, timeouts.head_timeout);
    let origin = values.origin.clone();
    let look = move || {
        let Err(error) = client::reach(&origin.host, origin.port, connect_timeout) else {
            return;
        };
        let address = format!("http://{}{}", origin.authority, origin.prefix);
        tracing::warn!(
            "the application does not answer at {}: {}. {} RETTER goes on, and finds it when it is there",
            escape(address.as_bytes()),
            escape(error.to_string().as_bytes()),
            remedy(&error, head_timeout)
        );
    };
    let looking = std::thread::Builder::new().name("application".to_owned());
    // Without it the first visitor's request tells the same.
    let _ = looking.spawn(look);
}

/// What to do where it cannot be asked.
pub(crate) fn remedy(error: &Error, head_timeout: Duration) -> String {
    match error {
        Error::Connect(_) => "Is it running, and is the host and port in RETTER_BACKEND_BASEURL \
                              where it listens? In a container, `localhost` is the container \
                              itself."
            .to_owned(),
        Error::Exchange(_) => format!(
            "It took the connection. When it only needs longer than {}, set \
             RETTER_BACKEND_TIMEOUT_HEAD.",
            humantime::format_duration(head_timeout)
        ),
        Error::NotHttp(_) => "Is something else listening there, or does it want https?".to_owned(),
        Error::Resolve(_) => "Is the host name in RETTER_BACKEND_BASEURL right, and known to \
                              this machine?"
            .to_owned(),
    }
}
