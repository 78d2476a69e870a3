//! The sides of a session that face its client, one for each protocol.
//! Never knows an exchange but by the replies that it gets from one.

pub(crate) mod h1;
