//! Owns what is logged of logins that belong to a connection (NTLM, Negotiate): once for clients
//! that connect directly, once for clients behind a proxy.
//! Never decides which connections such a login binds: the core does.

use std::sync::atomic::{AtomicBool, Ordering};

use retter_core::event::Report;
use retter_core::rules::login;

use super::escape;

/// What was told already.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    direct: AtomicBool,
    relayed: AtomicBool,
}

impl Logins {
    /// What to log of this exchange. Only the application's word counts: a client can claim any
    /// scheme.
    pub(crate) fn note(&self, report: &Report) -> Option<String> {
        let (head, _) = report.origin.as_ref()?.head.as_ref()?;
        if !login::binds_connection(&head.fields) {
            return None;
        }
        let request = report.request.as_ref()?;
        let is_relayed = report.claims_forwarding
            || report.client != report.peer.ip().to_canonical()
            || request.fields.contains("via");
        let told = if is_relayed {
            &self.relayed
        } else {
            &self.direct
        };
        if told.load(Ordering::Relaxed) || told.swap(true, Ordering::Relaxed) {
            return None;
        }
        let what = if is_relayed {
            "such a login does not work behind a proxy, which may send several users' requests on \
             one connection: let these users connect directly, or let the application sign them \
             in by a cookie"
        } else {
            "a client that has signed in so has a connection to the application of its own, \
             nothing of it is kept, and no copy answers it when the application fails"
        };
        Some(format!(
            "the application signs people in by connection (NTLM or Negotiate; seen at {} {}): \
             {what}; told once",
            request.method,
            escape(request.path())
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use http::{Method, StatusCode};
    use retter_core::event::OriginReport;
    use retter_core::message::{Fields, RequestHead, ResponseHead};
    use retter_core::report::Source;

    use super::*;
    use crate::telemetry::sample;

    fn answered(request: (&str, &str), answer: (&str, &str)) -> Report {
        let fields = |(name, value): (&str, &str)| Fields::from_pairs([(name, value.as_bytes())]);
        let request = RequestHead::new(Method::GET, "/in?secret", fields(request));
        let head = ResponseHead::new(StatusCode::UNAUTHORIZED, fields(answer));
        Report {
            origin: Some(OriginReport {
                broken: None,
                bytes: 0,
                failure: None,
                head: Some((Arc::new(head), Duration::ZERO)),
                is_stream: false,
                status: Some(StatusCode::UNAUTHORIZED),
                time: Duration::ZERO,
            }),
            request: Some(Arc::new(request)),
            source: Source::Backend,
            status: Some(StatusCode::UNAUTHORIZED),
            ..sample::report()
        }
    }

    #[test]
    fn each_kind_of_client_is_told_of_once() {
        let logins = Logins::default();
        let (direct, proxy) = (("Host", "h"), ("Via", "1.1 proxy"));
        let (basic, ntlm) = (
            ("WWW-Authenticate", "Basic realm=\"a\""),
            ("WWW-Authenticate", "NTLM"),
        );
        assert_eq!(logins.note(&answered(direct, basic)), None);
        let claimed = ("Authorization", "NTLM TlRM");
        assert_eq!(logins.note(&answered(claimed, basic)), None);
        let told = logins.note(&answered(direct, ntlm)).unwrap();
        assert!(told.contains("GET /in)") && !told.contains("secret"));
        assert_eq!(logins.note(&answered(direct, ntlm)), None);
        let told = logins.note(&answered(proxy, ntlm)).unwrap();
        assert!(told.contains("does not work behind a proxy"), "{told}");
        assert_eq!(logins.note(&answered(proxy, ntlm)), None);
    }
}
