//! Answers to the commands about gates: `/freeze`, `/unfreeze`, `/override`.

use jiff::tz::TimeZone;

use super::commands::not_done;
use super::{code, listed, quoted};
use crate::domain::calendar::words;
use crate::domain::command::{FreezeAnswer, OverrideAnswer};
use crate::domain::gate::{NEEDED, OverrideRefusal};

pub fn freeze(answer: &FreezeAnswer) -> String {
    match answer {
        FreezeAnswer::Frozen { stage, until } => format!(
            "Nothing is merged into {} until {} or `/unfreeze`. Rollbacks are not held up.",
            code(stage),
            words(*until, &TimeZone::UTC)
        ),
        // The same if it is said again, after windlass was killed in between.
        FreezeAnswer::Unfrozen { stage } => format!(
            "No freeze by command or kubectl holds {} any more. What windlass.yaml freezes is ended there.",
            code(stage)
        ),
        FreezeAnswer::NotTouched { stage } => format!(
            "Not done: this pull request touches no application in a stage {}. Give the command on one that does.",
            code(stage)
        ),
        FreezeAnswer::NotDone { application, why } => {
            format!("`{}`: {}", application.title(), not_done(why))
        }
        FreezeAnswer::TimeIsOver { time } => format!("Not done: {} is over already.", code(time)),
    }
}

pub fn overrides(answer: &OverrideAnswer) -> String {
    let (gate, by) = match answer {
        OverrideAnswer::Given { gate, by } => (code(gate), by),
        OverrideAnswer::Refused(why) => return format!("Not done. {}", refused(why)),
    };
    let missing = NEEDED.saturating_sub(by.len());
    let by = listed(by);
    match missing {
        0 => format!("The gate {gate} of this commit is overridden by {by}."),
        _ => format!(
            "{by} overrides the gate {gate} of this commit. It counts once {missing} more of those who may override it has given the same command."
        ),
    }
}

fn refused(why: &OverrideRefusal) -> String {
    match why {
        OverrideRefusal::Gate { overridable } => {
            let names: Vec<_> = overridable
                .iter()
                .map(|name| name.replace(' ', "-"))
                .collect();
            format!("The gates that can be overridden are {}.", listed(&names))
        }
        OverrideRefusal::Author => {
            "Who opened the pull request, or wrote or pushed a commit of it, cannot override its gates.".into()
        }
        OverrideRefusal::Unknown(doubt) => format!(
            "It is not known who wrote the pull request, so nobody can override its gates: {}.",
            quoted(&doubt.to_string())
        ),
        OverrideRefusal::NoStage => "This pull request touches no stage.".into(),
        OverrideRefusal::Unmanaged { file } => format!(
            "{} belongs to no application, so it needs an approval.",
            code(file)
        ),
        OverrideRefusal::NotNamed { title, names } if names.is_empty() => format!(
            "Nobody may override a gate of {}: its stage has no `breakGlass` in windlass.yaml.",
            code(title)
        ),
        OverrideRefusal::NotNamed { title, names } => format!(
            "Only {} may override a gate of {}.",
            listed(names),
            code(title)
        ),
    }
}
