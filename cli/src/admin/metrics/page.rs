//! Owns [`Page`]: the exposition format as it is written.
//! Never knows what is counted.

use std::fmt::{Display, Write};

/// The text so far. Writing to a String cannot fail.
#[derive(Default)]
pub(super) struct Page(pub(super) String);

impl Page {
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Label values are our own words and numbers: none needs escaping.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        debug_assert!(
            labels
                .iter()
                .all(|(_, value)| !value.contains(['"', '\\', '\n']))
        );
        self.0.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{value}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    /// Counts by bucket, not added up, the last of them unbounded; and the sum of all values.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        (bounds, counts): (&[f64], &[u64]),
        total: f64,
    ) {
        debug_assert_eq!(bounds.len() + 1, counts.len());
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let bounds = bounds.iter().map(f64::to_string);
        let mut sum = 0;
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(counts) {
            sum += count;
            self.sample(&bucket, &[("le", &bound)], sum);
        }
        self.sample(&format!("{name}_sum"), &[], total);
        self.sample(&format!("{name}_count"), &[], sum);
    }
}
