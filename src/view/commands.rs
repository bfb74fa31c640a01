//! Answers to commands.

use jiff::Timestamp;

use super::markdown::bounded;
use super::markers::OUTCOME;
use super::{code, gate_commands, help, history, listed, merged, quoted, why, why_of};
use crate::domain::command::{Answer, Done, NotDone, NotTaken, Row, Selector, Sought};
use crate::domain::history::HealthyRevision;
use crate::domain::hold::Hold;
use crate::domain::pull_request::{Rollout, RolloutState, Source};
use crate::domain::{CommitSha, TargetKey};

/// What became of the `/sync` of a text. Its author is named where somebody has to do something.
pub fn synced(source: Source, author: &str, rollouts: &[Rollout]) -> String {
    let line = |one: &Rollout| {
        let (title, state) = (one.key.title(), one.state.word());
        match one.state {
            RolloutState::Healthy if one.message.is_empty() => format!("- `{title}` is {state}"),
            RolloutState::Healthy => format!("- `{title}` is {state}. {}", quoted(&one.message)),
            _ => format!("- `{title}`: {state}. {}", quoted(&one.message)),
        }
    };
    let lines: Vec<_> = rollouts.iter().map(line).collect();
    let is_well = |one: &Rollout| one.state == RolloutState::Healthy;
    let to_whom = match rollouts.iter().all(is_well) {
        true => String::new(),
        false => format!("@{author} "),
    };
    bounded(&format!(
        "{OUTCOME}{source} -->\n{to_whom}The sync has ended:\n\n{}\n",
        lines.join("\n")
    ))
}

pub fn not_taken(why: NotTaken) -> &'static str {
    match why {
        NotTaken::Edited => {
            "This text was edited after it was posted, and GitHub does not say by whom. Please give the command in a new comment."
        }
        NotTaken::Interrupted => {
            "windlass saw this command before, but its answer is missing, so it may or may not have run. It does not run now. If you still want it, give it in a new comment."
        }
        NotTaken::Late => {
            "This was written more than an hour ago, and windlass cannot tell whether it has run. It does not run now. If you still want it, give it in a new comment."
        }
        NotTaken::OnlyInThread => {
            "This command counts only in a comment of the thread. Please give it there."
        }
        NotTaken::PreviewOnly => {
            "This windlass only previews pull requests. It takes `/preview` and `/help`."
        }
        NotTaken::OnlyMerged => {
            "This command changes live objects, so it works only on a merged pull request."
        }
        NotTaken::Draft => {
            "This command changes a stage, and a draft must not do that. Mark the pull request as ready for review first."
        }
    }
}

const NOTHING_UNSEEN: &str = "The preview shows every change: there is nothing to accept.";

pub fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Help => help(),
        Answer::Verdict(verdict) => why(verdict),
        Answer::VerdictOf {
            applications,
            verdict,
        } => why_of(&titles(applications), verdict),
        Answer::NotTouched { selectors, touched } => not_touched(selectors, touched),
        Answer::Merged => "This pull request is merged.".into(),
        Answer::MergedAs { commit, rollout } => merged(commit, rollout),
        Answer::Closed => "This pull request was closed without a merge.".into(),
        Answer::Previewed { head, title } => format!(
            "The preview is up to date with `{}`: {}",
            head.short(),
            quoted(title)
        ),
        Answer::NothingToPreview => {
            "This pull request is not open any more, so there is nothing to preview.".into()
        }
        Answer::Status(rows) => history::status(rows),
        Answer::History(pasts) => history::history(pasts),
        Answer::Merges { head, verdict } => format!(
            "windlass merges `{}` as soon as every gate has passed; `/cancel` takes this back.\n\n{}",
            head.short(),
            why(verdict)
        ),
        Answer::MergesByItself(verdict) => format!(
            "windlass merges this pull request anyway as soon as every gate has passed.\n\n{}",
            why(verdict)
        ),
        Answer::OtherHead { head } => format!(
            "Not done: the head is `{}` by now. If you want that one, name it.",
            head.short()
        ),
        Answer::BeforePreview { head } => format!(
            "Not done: it is not certain that the preview of this head was there. Look at it, then give the command again, or name the commit: `/merge {head}`."
        ),
        Answer::NotAStage(stage) => format!(
            "Not done: no application of this pull request goes to a stage `{}`.",
            stage.as_str()
        ),
        Answer::Cancelled => "windlass does not merge this pull request any more, unless somebody asks again.".into(),
        Answer::NothingToCancel => {
            "There is nothing to take back: nobody gave `/merge`. `/hold` keeps windlass from merging what it opened itself.".into()
        }
        Answer::Accepted { author, head } => format!(
            "{} accepts the changes that the preview of `{}` does not show.",
            code(author),
            head.short()
        ),
        Answer::NotAccepted(why) => format!("That does not count: {}.", quoted(why)),
        Answer::NothingUnseen => NOTHING_UNSEEN.into(),
        Answer::Freeze(answer) => gate_commands::freeze(answer),
        Answer::Override(answer) => gate_commands::overrides(answer),
        Answer::Applications { rows, none } if rows.is_empty() => nothing(*none).into(),
        Answer::Applications { rows, .. } => applications(rows),
    }
}

fn titles(applications: &[TargetKey]) -> String {
    let titles: Vec<_> = applications.iter().map(TargetKey::title).collect();
    listed(&titles)
}

fn not_touched(selectors: &[Selector], touched: &[TargetKey]) -> String {
    let named: Vec<_> = selectors.iter().map(Selector::to_string).collect();
    let named = listed(&named);
    let touches = match touched {
        [] => "It touches none.".into(),
        touched => format!("It touches {}.", titles(touched)),
    };
    format!("Not done: this pull request does not touch the application {named}. {touches}")
}

fn nothing(sought: Sought) -> &'static str {
    match sought {
        Sought::Adoption => "Nothing waits to be adopted in the applications of this pull request.",
        Sought::Deviation => {
            "No sync of the applications of this pull request differs from what was approved."
        }
        Sought::Deletion => "No deletion waits for a confirmation.",
        Sought::Field => {
            "There is nothing to take: the preview names no field that somebody else owns."
        }
        Sought::Application => "This pull request touches no application.",
    }
}

fn applications(rows: &[Row]) -> String {
    let lines: Vec<_> = rows.iter().map(row).collect();
    let text = lines.join("\n");
    let syncs = |row: &Row| {
        matches!(
            row.outcome,
            Ok(Done::SyncsTo(_) | Done::RequestsSync { .. })
        )
    };
    match rows.iter().any(syncs) {
        true => format!(
            "{text}\n\nwindlass says here how it ends. What an open pull request changes is synced after its merge only."
        ),
        false => text,
    }
}

fn row(row: &Row) -> String {
    let title = row.application.title();
    match &row.outcome {
        Ok(done) => format!("- {}", words(&title, done)),
        Err(NotDone::NoReason) => {
            format!("- `{title}`: not done. A hold needs a reason: `/hold {title} REASON`")
        }
        Err(why) => format!("- `{title}`: {}", not_done(why)),
    }
}

fn words(title: &str, done: &Done) -> String {
    match done {
        Done::Adopts(objects) => format!("`{title}` takes over {}", listed(objects)),
        Done::Applies => format!("`{title}` applies it all the same"),
        Done::Deletes(objects) => format!("`{title}` deletes {}", listed(objects)),
        Done::SyncsTo(commit) => format!(
            "`{title}` is being synced to the base branch (`{}`)",
            commit.short()
        ),
        Done::RequestsSync { by } => {
            format!("`{title}`: windlass requests a sync from {by}")
        }
        Done::Takes(paths) => {
            let fields: Vec<_> = paths.iter().map(|path| code(path)).collect();
            format!("`{title}` takes {}", fields.join(", "))
        }
        Done::NeverSynced => {
            format!(
                "`{title}` was never synced, so `/take` does not work yet: add a `take` rule to windlass.yaml instead"
            )
        }
        Done::Holds { until, instead_of } => holds(title, *until, instead_of.as_ref()),
        Done::RollsBack {
            to,
            healthy,
            reviewed,
        } => rolls_back(title, to, healthy.as_ref(), *reviewed),
        Done::Rejects(images) => {
            let tags: Vec<_> = images.iter().map(|image| image.tag.to_string()).collect();
            format!("{} is not proposed for `{title}` any more", listed(&tags))
        }
        Done::Proposes(image) => format!(
            "{} ({}) is proposed for `{title}`",
            code(&image.tag.to_string()),
            image.digest.short()
        ),
        Done::Resumes => format!("windlass merges into `{title}` again"),
    }
}

fn holds(title: &str, until: Option<Timestamp>, instead_of: Option<&Hold>) -> String {
    let until = until.map_or("until `/resume`".into(), |until| {
        format!("until {until} or `/resume`")
    });
    let instead_of = instead_of.map(|hold| {
        let (by, reason) = (code(&hold.by), quoted(&hold.reason));
        format!(". This takes the place of the hold by {by} ({reason})")
    });
    format!(
        "windlass merges nothing into `{title}` by itself {until}{}",
        instead_of.unwrap_or_default()
    )
}

fn rolls_back(
    title: &str,
    to: &CommitSha,
    healthy: Option<&HealthyRevision>,
    reviewed: bool,
) -> String {
    let healthy = healthy.map(|it| format!(", healthy on {}", it.at));
    let merges = match reviewed {
        true => "once it is approved",
        false => "by itself as soon as its gates pass",
    };
    format!(
        "windlass opens a pull request that takes `{title}` back to {}{}, and merges it {merges}; GitHub links it below. Until `/resume`, windlass merges nothing else into `{title}` by itself",
        to.short(),
        healthy.unwrap_or_default()
    )
}

pub(super) fn not_done(why: &NotDone) -> String {
    match why {
        NotDone::Before => {
            "was done when windlass first saw this comment; to do it again, post a new comment"
                .into()
        }
        NotDone::NotHeld => "nobody holds it".into(),
        NotDone::NoReason => "not done. A hold needs a reason".into(),
        NotDone::HeldLonger { by } => {
            format!("{} holds it for longer: that stays", code(by))
        }
        NotDone::Impossible(why) => format!("not done. {}", quoted(why)),
        NotDone::RollsBack(to) => format!(
            "not done. It is being rolled back to {}: close that pull request first",
            to.short()
        ),
        NotDone::NothingGood => {
            "not done. windlass knows no commit before the present one with which it was healthy: name one of those that `/history` lists".into()
        }
        NotDone::NoSuchRevision(named) => format!(
            "not done. It has no commit or image {} in its past: `/history` lists those that were healthy",
            code(named)
        ),
        NotDone::NotAnnounced(named) => {
            format!("not done. No image {} was announced for it", code(named))
        }
        NotDone::NotInStage { image, stage } => {
            let (tag, stage) = (image.tag.to_string(), stage.as_str());
            format!(
                "not done. {} does not run {} ({}) and nothing takes it there, so it would wait for ever: announce the image again, or add `--skip {stage} REASON` to the command",
                code(stage),
                code(&tag),
                image.digest.short()
            )
        }
        NotDone::NoObject => {
            "not done. windlass has not reconciled it yet: try again in a minute".into()
        }
        NotDone::NoConfiguration => {
            "not done. The configuration cannot be read, so windlass does not know who may decide this".into()
        }
        NotDone::MayNot { author, why, who } => {
            let who = match who.is_empty() {
                true => "somebody else who may write to this repository".into(),
                false => format!("one of {}", listed(who)),
            };
            format!(
                "not done. {} may not decide that for this stage: {}. Ask {who}",
                code(author),
                quoted(why)
            )
        }
        NotDone::NothingKept { needed } => format!(
            "{needed} people have to give this command, and windlass can count them only after it has processed the application once: try again later"
        ),
        NotDone::TooFew { given, needed } => format!(
            "{given} of {needed} people who may decide this have given the command; another one has to give it"
        ),
    }
}
