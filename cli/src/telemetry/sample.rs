//! Owns the reports that tests of telemetry begin with: a copy for a client that asked directly.
//! Never in the program.

use std::time::Duration;

use retter_core::breaker::State;
use retter_core::event::{OriginReport, Report};
use retter_core::report::{CallId, End, Source};
use retter_core::time::Instant;

pub(crate) fn report() -> Report {
    Report {
        call: CallId::FIRST,
        broken: None,
        bytes_received: 0,
        bytes_sent: 0,
        circuit: State::Closed,
        claims_forwarding: false,
        client: [192, 0, 2, 1].into(),
        copy_age: None,
        end: End::Complete,
        handling: None,
        ended: Instant::ZERO,
        origin: None,
        peer: ([192, 0, 2, 1], 1).into(),
        request: None,
        request_id: None,
        source: Source::Cache,
        started: Instant::ZERO,
        status: None,
        waited: false,
    }
}

/// What an origin did that never answered.
pub(super) fn origin() -> OriginReport {
    OriginReport {
        broken: None,
        bytes: 0,
        failure: None,
        head: None,
        is_stream: false,
        status: None,
        time: Duration::ZERO,
    }
}
