//! Owns [`AddressFields`]: in which fields beside the usual ones proxies in front tell the address of a
//! visitor. A stranger tells one in each of them, or an application that looks there would take it
//! for whoever is at the proxy's end.
//! Never keeps an address.

use std::sync::atomic::{AtomicU32, Ordering};

use smallvec::SmallVec;

use crate::message::Fields;
use crate::message::known::ADDRESSES;

/// Those that visitors' requests have had, one bit each.
#[derive(Debug, Default)]
pub(super) struct AddressFields(AtomicU32);

impl AddressFields {
    /// Takes note of those of a request.
    pub(super) fn note(&self, request: &Fields) {
        if !request.tell_forwarding() {
            return;
        }
        let known = self.0.load(Ordering::Relaxed);
        let new = (0..).zip(ADDRESSES.names()).filter(|(bit, name)| {
            let is_new = known >> bit & 1 == 0;
            is_new && request.contains(name)
        });
        let new = new.fold(0_u32, |bits, (bit, _)| bits | 1 << bit);
        if new != 0 {
            self.0.fetch_or(new, Ordering::Relaxed);
        }
    }

    /// Their names.
    pub(super) fn names(&self) -> SmallVec<[&'static str; 4]> {
        let known = self.0.load(Ordering::Relaxed);
        let named = (0..)
            .zip(ADDRESSES.names())
            .filter(|(bit, _)| known >> bit & 1 == 1);
        named.map(|(_, name)| name).collect()
    }
}
