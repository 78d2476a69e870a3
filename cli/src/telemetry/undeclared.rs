//! Owns the search for a proxy that stands in front and is not declared: one network sends most
//! requests, and they carry what only proxies send.
//! Never trusts it: it may be a single visitor with many requests.

use retter_core::config::TrustedProxies;
use retter_core::event::Report;
use retter_core::network::Network;

/// Requests before anything is said: soon reached behind a proxy, and never by hand.
const REQUESTS_MIN: u32 = 100;

/// Requests after which all counts are halved, so that a proxy put in front later is found too.
const REQUESTS_MAX: u32 = 2000;

/// The setting that declares it.
const SETTING: &str = "RETTER_SERVER_TRUSTED_PROXIES";

/// A majority vote (Boyer and Moore): only one network is remembered, and the one with the majority
/// of all requests ends up as the candidate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Votes {
    candidate: Option<Network>,
    /// Its requests since it is the candidate.
    held: u32,
    /// How far it is ahead of all the others.
    lead: u32,
    total: u32,
}

impl Votes {
    /// Counts one request.
    pub(crate) fn count(&mut self, report: &Report) {
        self.total += 1;
        let claims = report.claims_forwarding;
        let network = claims.then(|| Network::of(report.peer.ip()));
        match network {
            Some(_) if network == self.candidate => {
                self.held += 1;
                self.lead += 1;
            }
            Some(_) if self.lead == 0 => {
                (self.candidate, self.held, self.lead) = (network, 1, 1);
            }
            Some(_) | None => self.lead = self.lead.saturating_sub(1),
        }
        if self.total >= REQUESTS_MAX {
            self.total /= 2;
            self.held /= 2;
            self.lead /= 2;
        }
    }

    /// Adds another thread's share.
    pub(crate) fn add(&mut self, other: &Self) {
        self.total += other.total;
        if self.candidate == other.candidate {
            self.held += other.held;
            self.lead += other.lead;
        } else if other.lead > self.lead {
            (self.candidate, self.held) = (other.candidate, other.held);
            self.lead = other.lead - self.lead;
        } else {
            self.lead -= other.lead;
        }
    }

    /// The network of which more than half of all requests come.
    pub(crate) fn winner(&self) -> Option<Network> {
        let is_most = self.total >= REQUESTS_MIN && self.held > self.total / 2;
        self.candidate.filter(|_| is_most)
    }
}

/// The assignment that declares a proxy in `network` beside those that are trusted already.
pub(crate) fn assignment(network: Network, trusted: &TrustedProxies) -> String {
    if *trusted == TrustedProxies::default() || *trusted == TrustedProxies::none() {
        format!("{SETTING}={network}")
    } else {
        format!("{SETTING}={trusted},{network}")
    }
}

/// What an operator has to know of it.
pub(crate) fn words(network: &str, assignment: &str) -> String {
    format!(
        "most requests come from {network} and carry the fields of a proxy (X-Forwarded-For and \
         its kin), but no trusted proxy is declared there: these fields are dropped, and all these \
         visitors count as one. If it is your proxy, set {assignment}"
    )
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::telemetry::sample;

    fn report(peer: &str, claims_forwarding: bool) -> Report {
        let peer: IpAddr = peer.parse().unwrap();
        Report {
            claims_forwarding,
            client: peer,
            peer: (peer, 1).into(),
            ..sample::report()
        }
    }

    /// Counts `rounds` of these requests on two threads.
    fn winner(rounds: u32, requests: &[(&str, bool)]) -> Option<String> {
        let mut threads = [Votes::default(); 2];
        for round in 0..rounds {
            for (at, (peer, claims)) in requests.iter().enumerate() {
                threads[(at + round as usize) % 2].count(&report(peer, *claims));
            }
        }
        let mut sum = Votes::default();
        threads.iter().for_each(|votes| sum.add(votes));
        sum.winner().map(|network| network.to_string())
    }

    #[test]
    fn who_sends_most_requests_as_a_proxy_does_is_found() {
        let proxy = ("172.18.0.1", true);
        let found = Some("172.18.0.0/24".to_owned());
        assert_eq!(winner(99, &[proxy]), None, "not before the first hundred");
        assert_eq!(winner(100, &[proxy]), found);
        assert_eq!(winner(100_000, &[proxy]), found);
        assert_eq!(
            winner(100, &[proxy, ("172.18.0.9", true)]),
            found,
            "one network"
        );
        assert_eq!(winner(100, &[proxy, proxy, ("203.0.113.9", false)]), found);
        assert_eq!(winner(100, &[("203.0.113.9", true), proxy, proxy]), found);
        // Not the most, or no proxy.
        assert_eq!(winner(100, &[("172.18.0.1", false)]), None);
        assert_eq!(winner(100, &[proxy, ("203.0.113.9", false)]), None);
        assert_eq!(winner(100, &[proxy, ("203.0.113.9", true)]), None);
        let many = [
            ("192.0.2.1", true),
            ("198.51.100.1", true),
            ("203.0.113.9", true),
        ];
        assert_eq!(winner(1000, &many), None);
    }

    #[test]
    fn a_proxy_that_comes_later_is_found_and_one_that_goes_is_forgotten() {
        let mut votes = Votes::default();
        let mut count = |requests, peer, claims| {
            for _ in 0..requests {
                votes.count(&report(peer, claims));
            }
            votes.winner().map(|network| network.to_string())
        };
        assert_eq!(count(1_000_000, "203.0.113.9", false), None);
        assert_eq!(
            count(4000, "172.18.0.1", true).as_deref(),
            Some("172.18.0.0/24")
        );
        assert_eq!(count(4000, "203.0.113.9", false), None);
    }

    #[test]
    fn the_advice_keeps_what_is_declared() {
        let network = Network::of([172, 18, 0, 7].into());
        let check = |trusted: &str, expected: &str| {
            assert_eq!(assignment(network, &trusted.parse().unwrap()), expected);
        };
        check(
            "127.0.0.0/8,::1",
            "RETTER_SERVER_TRUSTED_PROXIES=172.18.0.0/24",
        );
        check(
            "10.0.0.1, ::1",
            "RETTER_SERVER_TRUSTED_PROXIES=10.0.0.1,::1,172.18.0.0/24",
        );
    }
}
