//! Owns who is told what happens ([`Observer`]), and what is told beside exchanges ([`Trouble`]).
//! Never finds words for it: what an operator reads is the program's.

use std::io;

use retter_core::addresses;
use retter_core::event::Report;

/// Takes what happens. Called on worker threads while a client waits: it should be quick.
pub trait Observer: Send + Sync {
    /// An exchange has ended.
    fn on_report(&self, report: Report);

    /// A client connection was accepted.
    fn on_connect(&self) {}

    /// A client connection has ended.
    fn on_disconnect(&self) {}

    /// Something went wrong that an operator should know.
    fn on_trouble(&self, trouble: &Trouble) {
        let _ = trouble;
    }
}

/// What an operator should know, beside what exchanges report.
#[derive(Debug)]
pub enum Trouble {
    /// No connection could be accepted; told at most once a minute.
    Accept(io::Error),
    /// All client connections are busy, so that new ones are refused; told at most once a minute.
    Full,
    /// A socket that is bound cannot be listened on.
    Listen(io::Error),
    /// The way to the origin is not open.
    Origin(addresses::Trouble),
    /// A session ended by a panic.
    Panicked,
}
