//! Owns how a log line names the request that it is about.
//! Never shows a query: there may be secrets in it.

use retter_core::event::Report;

use super::escape;

/// Method, path and identifier; `None` for what was no request.
pub(super) fn asked(report: &Report) -> Option<String> {
    let head = report.request.as_ref()?;
    let method = escape(head.method.as_str().as_bytes());
    let path = escape(head.path());
    Some(format!("{method} {path}{}", called(report)))
}

/// The identifier, with the space before it; nothing where requests have none.
pub(super) fn called(report: &Report) -> String {
    let id = report.request_id.as_ref();
    id.map_or_else(String::new, |id| format!(" [request {id}]"))
}
