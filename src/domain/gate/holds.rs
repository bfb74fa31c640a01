//! The gate `holds`: nobody holds a stage that windlass would merge into by itself.

use super::{Facts, Origin, Standing, Verdict, leaf};
use crate::domain::hold::Hold;

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    // A person's change goes on, and so does the way back.
    if facts.origin == Origin::People || facts.rollback {
        return None;
    }
    let holds: Vec<_> = facts.holds.iter().map(words).collect();
    (!holds.is_empty()).then(|| leaf("holds", Standing::Pending, holds.join("; ")))
}

fn words((title, hold): &(String, Hold)) -> String {
    let until = match hold.until {
        Some(until) => format!("until {until} or `/resume`"),
        None => "until `/resume`".into(),
    };
    format!("{} holds {title} {until}: {}", hold.by, hold.reason)
}
