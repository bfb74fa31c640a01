//! The gate `soak`: the earlier stages have run the promoted images, healthy, for long enough.

use super::{Clear, Facts, Standing, Verdict, leaf};
use crate::domain::calendar::words;
use crate::domain::sync::duration_words;

pub(super) fn gate(facts: &Facts) -> Option<Verdict> {
    let gate = "soak";
    let strictest = facts.stages.iter().max_by_key(|stage| stage.soak)?;
    // What somebody passed over is not waited for.
    let earlier = || {
        facts
            .earlier
            .iter()
            .filter(|earlier| earlier.skipped.is_none())
    };
    if earlier().next().is_none() || strictest.soak.is_zero() {
        return None;
    }
    let asked = format!(
        "{} asks for {}",
        strictest.title,
        duration_words(strictest.soak)
    );
    let stages: Vec<_> = earlier().map(|earlier| earlier.stage.clone()).collect();
    let names = stages.join(", ");
    // All of them have to be ready, so the last one counts.
    let since = earlier().map(|earlier| match earlier.lacks {
        None => earlier.since,
        Some(_) => None,
    });
    let since = since
        .collect::<Option<Vec<_>>>()
        .and_then(|all| all.into_iter().max());
    let over = since.and_then(|since| since.checked_add(strictest.soak).ok());
    Some(match over {
        Some(over) if over <= facts.now => {
            let reason = format!("{names} healthy for long enough ({asked})");
            leaf(gate, Standing::Passed, reason).since(Some(over))
        }
        Some(over) => {
            let until = words(over, &jiff::tz::TimeZone::UTC);
            let reason = format!("{names} must stay healthy until {until} ({asked})");
            leaf(gate, Standing::Pending, reason)
                .since(since)
                .clears([Clear::Itself { at: over }])
                .changes_at(Some(over))
        }
        None => {
            let reason = format!("{names} must be healthy first ({asked})");
            leaf(gate, Standing::Pending, reason).clears([Clear::EarlierStages { stages }])
        }
    })
}
