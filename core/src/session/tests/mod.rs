//! Tests of whole sessions: bytes in, bytes out, time as an argument.
//! Each exchange runs with whole inputs and again byte by byte; what comes out must be the same.

mod bound;
mod bounds;
mod broken;
mod chain_ends;
mod chains;
mod choice;
mod copies;
mod ends;
mod identity;
mod labels;
mod lifecycle;
mod malformed;
mod many;
mod memory;
mod outage;
mod preflights;
mod public;
mod random;
mod refresh;
mod request_ids;
mod rescue;
mod rig;
mod room;
mod slow;
mod soft;
mod spelling;
mod strangers;
mod tags;
mod transfer;
mod trouble;
mod upgrades;
mod waiting;
mod witnesses;
