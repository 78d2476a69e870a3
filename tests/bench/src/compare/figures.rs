//! Owns what was measured, one figure for each contender and round, and its table.
//! Never measures.

use serde_json::{Value, json};

use crate::contender::Contender;
use crate::median;
use crate::table::{Table, figure};

/// One quantity, measured for every contender.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The scenario.
    pub name: String,
    /// What it is.
    pub text: String,
    /// What is counted.
    pub unit: String,
    /// One for each contender.
    pub rows: Vec<Row>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// What was measured of one contender.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub contender: String,
    /// Whether RETTER is compared with it.
    pub is_peer: bool,
    /// One figure for each round.
    pub values: Vec<f64>,
    /// Answers a second of each round; empty where that has no meaning.
    pub rates: Vec<f64>,
}

impl Figures {
    /// Begins with a row without figures for each contender.
    #[must_use]
    pub fn new<'a>(
        name: &str,
        text: &str,
        unit: &str,
        contenders: impl IntoIterator<Item = &'a Contender>,
    ) -> Self {
        let row = |contender: &Contender| Row {
            contender: contender.name.clone(),
            is_peer: contender.is_peer(),
            values: Vec::new(),
            rates: Vec::new(),
        };
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            unit: unit.to_owned(),
            rows: contenders.into_iter().map(row).collect(),
            notes: Vec::new(),
        }
    }

    /// The least median of the peers, and its name.
    #[must_use]
    pub fn best_peer(&self) -> Option<(&str, f64)> {
        let peers = self
            .rows
            .iter()
            .filter(|row| row.is_peer && !row.values.is_empty());
        peers
            .map(|row| (row.contender.as_str(), median(&row.values)))
            .min_by(|one, other| one.1.total_cmp(&other.1))
    }

    /// Its table, with a heading.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut table = Table::new(&[
            "",
            "median",
            "least",
            "most",
            "× best peer",
            "× floor",
            "answers/s",
        ]);
        let best = self.best_peer().map_or(f64::NAN, |(_, best)| best);
        let floor = self.rows.iter().find(|row| row.contender == FLOOR);
        let floor = floor.map_or(f64::NAN, |row| median(&row.values));
        for row in &self.rows {
            let value = median(&row.values);
            let least = row.values.iter().copied().fold(f64::NAN, f64::min);
            let most = row.values.iter().copied().fold(f64::NAN, f64::max);
            table.row(vec![
                row.contender.clone(),
                figure(value),
                figure(least),
                figure(most),
                figure(value / best),
                figure(value / floor),
                figure(median(&row.rates)),
            ]);
        }
        let heading = format!("## {}: {}, {}", self.name, self.text, self.unit);
        let notes: String = self
            .notes
            .iter()
            .map(|note| {
                format!(
                    "- {note}
"
                )
            })
            .collect();
        format!(
            "{heading}

{table}{}{notes}",
            if notes.is_empty() {
                ""
            } else {
                "
"
            }
        )
    }

    /// All of it, with every round.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "contender": row.contender,
                    "median": median(&row.values),
                    "values": row.values,
                    "answers_per_second": row.rates,
                })
            })
            .collect();
        json!({"scenario": self.name, "text": self.text, "unit": self.unit, "rows": rows, "notes": self.notes})
    }
}

/// The name of the contender that answers everything itself.
pub const FLOOR: &str = "floor";
