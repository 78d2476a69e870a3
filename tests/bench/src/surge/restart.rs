//! Owns what a restart does to orders: which came to the application, and how often.
//! Never asks the application: it is told what that has counted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::load::Answer;
use super::outcome::Outcome;

/// What became of orders, in numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Orders {
    /// Sent by visitors.
    pub(super) sent: usize,
    /// Without a good answer though they came to the application.
    pub(super) unanswered: usize,
    /// Without a good answer, and they never came to the application.
    pub(super) lost: usize,
    /// They came to the application twice or more.
    pub(super) doubled: usize,
}

/// Reads what the application has counted: a line for each order.
#[must_use]
pub fn orders(text: &str) -> BTreeMap<String, u32> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let orders = lines.filter_map(|(path, times)| Some((path.to_owned(), times.parse().ok()?)));
    orders.collect()
}

impl Outcome {
    /// What became of the orders of the event.
    pub(super) fn lost(&self) -> Orders {
        let mut all = Orders::default();
        let during = self.between(self.phases.begin, self.phases.end);
        for visit in during.filter(|visit| visit.is_post) {
            let path = format!("/order/{}", visit.number);
            let came = self.orders.get(&path).copied().unwrap_or_default();
            let is_good = visit.answer == Answer::Good;
            all.sent += 1;
            all.unanswered += usize::from(!is_good && came > 0);
            all.lost += usize::from(!is_good && came == 0);
            all.doubled += usize::from(came > 1);
        }
        all
    }
}

impl Orders {
    pub(super) fn json(self) -> Value {
        json!({
            "sent": self.sent,
            "unanswered": self.unanswered,
            "lost": self.lost,
            "doubled": self.doubled,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_as_the_application_counts_them() {
        let read = orders("/order/7 1\n/order/12 2\n");
        let expected = [("/order/12".to_owned(), 2), ("/order/7".to_owned(), 1)];
        assert_eq!(read, BTreeMap::from(expected));
        assert_eq!(orders(""), BTreeMap::new());
    }
}
