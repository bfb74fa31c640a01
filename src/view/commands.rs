//! Answers to commands.

use super::{code, help, listed, quoted, why};
use crate::domain::command::{Answer, Command, Done, NotDone, NotTaken, Row};

pub fn not_taken(why: NotTaken) -> &'static str {
    match why {
        NotTaken::Edited => {
            "This comment was edited after it was posted, and GitHub does not tell by whom: please give the command in a new comment."
        }
        NotTaken::Interrupted => {
            "This command was seen, and windlass's answer to it is not there any more, or never came. It is not carried out now: please give it again if it still holds."
        }
        NotTaken::OnlyMerged => {
            "This is taken on a pull request that is merged, since it is about what is live: give it there."
        }
        NotTaken::Draft => {
            "This changes a stage, which a draft does not: mark the pull request as ready for review first."
        }
    }
}

pub fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Help => help(),
        Answer::Verdict(verdict) => why(verdict),
        Answer::Merged => "It is merged.".into(),
        Answer::Closed => "It was closed without a merge.".into(),
        Answer::Previewed { head, title } => format!(
            "The preview is up to date with `{}`: {}",
            head.short(),
            quoted(title)
        ),
        Answer::NothingToPreview => {
            "The pull request is not open any more: there is nothing to preview.".into()
        }
        Answer::Accepted { author, head } => format!(
            "{} accepts the changes that the preview of `{}` does not show.",
            code(author),
            head.short()
        ),
        Answer::NotAccepted(why) => format!("That does not count: {}.", quoted(why)),
        Answer::NothingUnseen => {
            "The preview shows every change: there is nothing to accept.".into()
        }
        Answer::Applications(command, rows) if rows.is_empty() => nothing_to_do(*command).into(),
        Answer::Applications(_, rows) => applications(rows),
    }
}

fn nothing_to_do(command: Command) -> &'static str {
    match command {
        Command::Adopt => "Nothing waits to be adopted in the applications of this pull request.",
        Command::ConfirmPrune => "No deletion waits for a confirmation.",
        Command::Take => "No field waits for that: the preview names none that others hold.",
        _ => "This pull request touches no application: there is nothing to sync.",
    }
}

fn applications(rows: &[Row]) -> String {
    let lines: Vec<_> = rows.iter().map(row).collect();
    let text = lines.join("\n");
    let syncs = |row: &Row| matches!(row.outcome, Ok(Done::SyncsTo(_)));
    match rows.iter().any(syncs) {
        true => format!("{text}\n\nThe outcome is the commit status `windlass/sync`."),
        false => text,
    }
}

fn row(row: &Row) -> String {
    let title = row.application.title();
    match &row.outcome {
        Ok(Done::Adopts(objects)) => format!("- `{title}` takes over {}", listed(objects)),
        Ok(Done::Deletes(objects)) => format!("- `{title}` deletes {}", listed(objects)),
        Ok(Done::SyncsTo(commit)) => format!("- `{title}` is being synced to `{}`", commit.short()),
        Ok(Done::Takes(paths)) => {
            let fields: Vec<_> = paths.iter().map(|path| code(path)).collect();
            format!("- `{title}` takes {}", fields.join(", "))
        }
        Ok(Done::NeverSynced) => {
            format!("- `{title}` was never synced: write a `take` rule into windlass.yaml")
        }
        Err(why) => format!("- `{title}`: {}", not_done(why)),
    }
}

fn not_done(why: &NotDone) -> String {
    match why {
        NotDone::Before => {
            "was done when this comment was seen first; to have it done again, give the command anew"
                .into()
        }
        NotDone::NoConfiguration => {
            "not done. The configuration cannot be read, and so not who may decide this".into()
        }
        NotDone::MayNot { author, why } => format!(
            "not done. {} may not decide that for this stage: {}",
            code(author),
            quoted(why)
        ),
        NotDone::NothingKept { needed } => format!(
            "it needs {needed} people's word, which can be kept once it was looked at"
        ),
        NotDone::TooFew { given, needed } => format!(
            "{given} of {needed} people who may decide this have said so; another one has to give the command"
        ),
    }
}
