//! RETTER's core: breaker, admission, copies and HTTP/1.1 as pure state machines.
//! Never reads a clock, opens a socket, spawns, blocks or logs.

pub mod addresses;
pub mod admission;
pub mod breaker;
pub mod config;
pub mod drive;
pub mod h1;
pub mod key;
pub mod limits;
pub mod message;
pub mod policy;
pub mod pool;
pub mod report;
pub mod rng;
pub mod rules;
pub mod session;
pub mod store;
pub mod time;
