//! What people read: view-models → Markdown, through `templates/`.
//!
//! Everything that comes from a manifest, a name or an error is either inside a
//! fence longer than any in it, or in a code span; so it mentions nobody, links
//! to nothing and forges no marker. A comment stays under [`MOST_BYTES`]: the
//! fullest form that fits is taken, and a deletion is never dropped.

pub mod commands;
mod notes;
mod preview;
mod reason;
mod terminal;

pub use notes::{NEW_APPLICATION, hands_over, leaves_git, looks_up, not_run, stays, unruled};
pub use preview::{PreviewText, preview};
pub use reason::reason;
pub use terminal::terminal;

use std::collections::BTreeSet;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::domain::command::{COMMANDS, Line, Mistake};
use crate::domain::gate::{Standing, Verdict};
use crate::domain::image::Tag;
use crate::domain::plan::Plan;
use crate::domain::promotion::{Decision, How, Offer};
use crate::domain::pull_request::{Progress, ProgressState, Wanted, shortened};
use crate::domain::rollout::{self, Outcome, Summary};
use crate::domain::seal::Seal;
use crate::domain::{ApplicationKey, CommitSha};

/// GitHub takes 65,536 characters; mail and mobile clients less gladly so.
const MOST_BYTES: usize = 60_000;

const TEMPLATES: [(&str, &str); 7] = [
    ("change.md", include_str!("../../templates/change.md")),
    ("drift.md", include_str!("../../templates/drift.md")),
    ("preview.md", include_str!("../../templates/preview.md")),
    ("details.md", include_str!("../../templates/details.md")),
    ("progress.md", include_str!("../../templates/progress.md")),
    ("reply.md", include_str!("../../templates/reply.md")),
    ("promotion.md", include_str!("../../templates/promotion.md")),
];

fn render(name: &str, data: impl Serialize) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = minijinja::syntax::SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    environment.set_syntax(syntax.expect("trimming is legal"));
    for (name, source) in TEMPLATES {
        environment
            .add_template(name, source)
            .expect("the templates are tested to parse");
    }
    let template = environment
        .get_template(name)
        .expect("the name is one of TEMPLATES");
    template
        .render(Serde(data))
        .expect("the templates are tested with every view-model")
        .trim()
        .to_string()
        + "\n"
}

/// That a branch's rules let a pull request be merged whatever the verdict says.
pub fn unprotected(branch: &str) -> String {
    let (branch, check) = (
        code(branch),
        code(crate::domain::pull_request::GATE_CONTEXT),
    );
    format!(
        "> [!NOTE]\n> The rules of {branch} do not require {check} from this App: whoever may merge can merge without it. Add a ruleset that requires it, with this App as its source."
    )
}

/// Some names, the first twenty of many.
pub fn listed(names: &[String]) -> String {
    const MOST: usize = 20;
    let more = names.len().saturating_sub(MOST);
    let shown: Vec<_> = names.iter().take(MOST).map(|name| code(name)).collect();
    if more > 0 {
        format!("{} and {more} more", shown.join(", "))
    } else {
        shown.join(", ")
    }
}

/// Text in a code span: whatever is in it, it stays in it. A pipe would end a table's cell.
pub fn code(text: &str) -> String {
    let text = one_line(text).replace('|', "¦").replace("<!--", "<! --");
    let run = longest_run(&text, '`');
    let ticks = "`".repeat(if run == 0 { 1 } else { run + 1 });
    let pad = if text.starts_with('`') || text.ends_with('`') || text.is_empty() {
        " "
    } else {
        ""
    };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// A difference in a fence that is longer than any in it.
pub fn fence(text: &str) -> String {
    fenced("diff", text)
}

fn fenced(language: &str, text: &str) -> String {
    let text: String = text.chars().filter(|c| !is_bidi(*c)).collect();
    let ticks = "`".repeat(longest_run(&text, '`').max(2) + 1);
    format!(
        "{ticks}{language}\n{}\n{ticks}",
        text.trim_end_matches('\n')
    )
}

/// Sentences in a fence, in lines that a page shows whole; what points at a column is left as it is.
pub fn told(text: &str) -> String {
    const WIDTH: usize = 100;
    if text
        .lines()
        .any(|line| line.trim_start_matches([' ', '|']).starts_with('^'))
    {
        return fenced("text", text);
    }
    let mut out = String::new();
    for line in text.lines() {
        let mut length = 0;
        for word in line.split(' ') {
            let size = word.chars().count();
            if length > 0 {
                out.push(if length + size >= WIDTH { '\n' } else { ' ' });
                length = if length + size >= WIDTH {
                    0
                } else {
                    length + 1
                };
            }
            out.push_str(word);
            length += size;
        }
        out.push('\n');
    }
    fenced("text", &out)
}

/// Text without ends of lines, or anything else that is not shown and does something.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .filter(|c| !is_bidi(*c))
        .collect()
}

/// Characters that turn the direction of text, by which what is shown can differ from what is there.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn longest_run(text: &str, of: char) -> usize {
    text.split(|c| c != of).map(str::len).max().unwrap_or(0)
}

// ---- markers: found again only in comments of our own App

const STICKY: &str = "<!-- windlass:sticky ";
const REPLY: &str = "<!-- windlass:reply ";

/// The sticky comment as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSticky {
    pub fingerprint: String,
    /// It tells the end of the story.
    pub last: bool,
    /// Every letter of it is ours.
    pub intact: bool,
    /// It has a seal by our key; older windlasses set none, and keys are rotated.
    pub sealed: bool,
}

/// Reads a sticky comment of ours. `place`: the pull request.
pub fn sticky_of(body: &str, seal: &Seal, place: &str) -> Option<FoundSticky> {
    let (marker, text) = body.strip_prefix(STICKY)?.split_once(" -->")?;
    let (last, marker) = marker
        .strip_prefix("final ")
        .map_or((false, marker), |rest| (true, rest));
    let (fingerprint, found) = marker.split_once(' ').unwrap_or((marker, ""));
    let intact = found == sealed(seal, place, last, fingerprint, text);
    // What says that it is the end without a seal of ours says nothing.
    Some(FoundSticky {
        fingerprint: fingerprint.into(),
        last: last && intact,
        intact,
        sealed: found.starts_with(&seal.id()),
    })
}

fn sealed(seal: &Seal, place: &str, last: bool, fingerprint: &str, text: &str) -> String {
    // GitHub may change the ends of lines, and of the whole.
    seal.id()
        + &seal.of(&[
            place,
            if last { "final" } else { "" },
            fingerprint,
            text.replace('\r', "").trim(),
        ])
}

/// The sticky comment's whole body.
pub fn sticky_body(wanted: &Wanted, seal: &Seal, place: &str) -> String {
    let Wanted {
        text,
        fingerprint,
        last,
    } = wanted;
    let mark = sealed(seal, place, *last, fingerprint, text);
    format!(
        "{STICKY}{}{fingerprint} {mark} -->\n{text}",
        if *last { "final " } else { "" }
    )
}

const TAMPERED: &str = "<!-- windlass:edited ";

/// Says in the thread that somebody edited a comment of ours, whose time of change is `at`.
pub fn tampered(comment: u64, at: jiff::Timestamp, url: &str) -> String {
    format!(
        "{TAMPERED}{comment} {at} -->\nSomebody edited [windlass's comment]({url}). It is written anew: only what it says now is windlass's word.\n"
    )
}

/// The edit of a comment that one of ours is about.
pub fn tampered_of(body: &str) -> Option<(u64, jiff::Timestamp)> {
    let (comment, at) = body
        .strip_prefix(TAMPERED)?
        .split(" -->")
        .next()?
        .split_once(' ')?;
    Some((comment.parse().ok()?, at.parse().ok()?))
}

/// The comment that a reply answers.
pub fn reply_of(body: &str) -> Option<u64> {
    body.strip_prefix(REPLY)?.split(" -->").next()?.parse().ok()
}

/// What `varies` (a duration) is no part of the fingerprint.
fn sticky(text: &str, varies: &str, last: bool) -> Wanted {
    let steady = if varies.is_empty() {
        text.to_string()
    } else {
        text.replace(varies, "")
    };
    Wanted {
        text: bounded(text),
        fingerprint: hex::encode(&Sha256::digest(&steady)[..8]),
        last,
    }
}

// ---- after the merge

/// Where a roll-out stands, in one line.
pub fn rollout(summary: &Summary<'_>) -> String {
    let Summary {
        total,
        healthy,
        superseded,
        ..
    } = *summary;
    let of =
        |one: &Progress, text: &str| format!("{}: {}", one.key.title(), text.replace('\n', " "));
    let done = healthy + superseded;
    match (summary.outcome, summary.about) {
        (Outcome::Failed, Some(one)) => of(one, &one.message),
        (Outcome::Stale, Some(one)) => format!("stale: {}", of(one, &one.message)),
        (Outcome::Nothing, _) => "no application changes".into(),
        (Outcome::Superseded, Some(one)) => format!("superseded {}", one.message),
        (Outcome::Healthy, Some(one)) if total == 1 && one.state == ProgressState::Gone => {
            format!("{} is gone, with all that it had", one.key.title())
        }
        (Outcome::Healthy, Some(one)) if total == 1 => {
            format!("{} is synced and healthy", one.key.title())
        }
        (Outcome::Healthy, _) if superseded == 0 => {
            format!("{total} applications are synced and healthy")
        }
        (Outcome::Healthy, _) => format!(
            "{healthy} of {total} applications are synced and healthy; newer commits changed the others"
        ),
        (_, Some(one)) if one.state == ProgressState::Leaving => of(one, &one.message),
        // No more detail than changes rarely: GitHub takes 1000 statuses of a kind on one commit.
        (_, Some(one)) if total == 1 && !one.message.is_empty() => of(one, &one.message),
        (_, Some(one)) if total == 1 && !one.detail.is_empty() => of(one, &one.detail),
        _ => format!("{done} of {total} applications are synced and healthy"),
    }
}

#[derive(Serialize)]
struct ProgressView {
    verdict: String,
    commit: String,
    unmet: Option<String>,
    applications: Vec<ProgressRow>,
    preview: Option<String>,
}

#[derive(Serialize)]
struct ProgressRow {
    title: String,
    state: &'static str,
    message: String,
}

/// The sticky comment of a merged pull request. `preview`: the details of the head's check run. `unmet`: what the gate said
/// when it was merged without being green.
pub fn progress(
    commit: &CommitSha,
    progress: &[Progress],
    preview: Option<&str>,
    unmet: Option<&str>,
) -> Wanted {
    let last = progress.iter().all(|one| one.state.is_final());
    let summary = rollout::summary(progress);
    let about = summary.about.map(|one| one.state);
    let verdict = match summary.outcome {
        Outcome::Healthy if about == Some(ProgressState::Gone) => "**Gone**",
        Outcome::Pending if about == Some(ProgressState::Leaving) => "**Merged** · deletions wait",
        Outcome::Healthy => "**Synced, healthy**",
        Outcome::Failed => "**Failed**",
        Outcome::Superseded => "**Superseded** by a newer commit",
        Outcome::Stale => "**Not known**: a cluster cannot be reached",
        Outcome::Pending | Outcome::Nothing => "**Merged** · syncing",
    };
    let rows = progress.iter().map(|one| ProgressRow {
        title: one.key.title(),
        state: one.state.word(),
        message: if one.message.is_empty() {
            String::new()
        } else {
            code(&one.message)
        },
    });
    let text = render(
        "progress.md",
        ProgressView {
            verdict: verdict.into(),
            commit: commit.short().into(),
            unmet: unmet.map(quoted),
            applications: rows.collect(),
            preview: preview
                .filter(|text| text.len() < MOST_BYTES - 8_000)
                .map(|text| {
                    text.replace("<details open>", "<details>")
                        .trim()
                        .to_string()
                }),
        },
    );
    sticky(&text, "", last)
}

// ---- replies

#[derive(Serialize)]
struct ReplyView {
    answers: Vec<AnswerView>,
}

#[derive(Serialize)]
struct AnswerView {
    quote: String,
    text: String,
}

/// Characters of a command line that a reply quotes.
const MOST_QUOTED: usize = 200;

/// One comment that answers all command lines of another; carries its marker.
pub fn reply(comment: u64, answers: &[(Line, String)]) -> String {
    let answers = answers.iter().map(|(line, text)| AnswerView {
        quote: code(&shortened(&line.text, MOST_QUOTED)),
        text: text.clone(),
    });
    let body = format!(
        "{REPLY}{comment} -->\n{}",
        render(
            "reply.md",
            ReplyView {
                answers: answers.collect()
            }
        )
    );
    bounded(&body)
}

/// What GitHub takes, with a word where some was cut.
fn bounded(body: &str) -> String {
    if body.len() <= MOST_BYTES {
        return body.to_string();
    }
    let end = (0..=MOST_BYTES - 100)
        .rev()
        .find(|at| body.is_char_boundary(*at))
        .unwrap_or_default();
    let cut = body[..end]
        .rsplit_once('\n')
        .map_or(&body[..end], |(whole, _)| whole);
    format!("{cut}\n\n… (more does not fit into a comment)\n")
}

pub fn help() -> String {
    let rows = COMMANDS.iter().map(|spec| {
        format!(
            "| `/{}` | {} | {} |",
            spec.word,
            spec.summary,
            spec.power.who()
        )
    });
    let table = rows.collect::<Vec<_>>().join("\n");
    format!(
        "A command stands at the start of a line.\n\n| command | what it does | needs |\n|---|---|---|\n{table}"
    )
}

pub fn mistake(mistake: &Mistake) -> String {
    match mistake {
        Mistake::Unknown { word, nearest } => {
            format!(
                "There is no command {}. Did you mean `/{}`? `/help` lists all of them.",
                code(&format!("/{word}")),
                nearest.word()
            )
        }
        Mistake::Argument { command } => {
            format!("`/{}` takes nothing after its name.", command.word())
        }
    }
}

/// The verdict as a list, gate by gate.
pub fn why(verdict: &Verdict) -> String {
    let mark = |standing| match standing {
        Standing::Green => "✅",
        Standing::Waiting => "⏳",
        Standing::Blocked => "⛔",
    };
    let rows = verdict.children.iter().map(|gate| {
        format!(
            "- {} **{}**: {}",
            mark(gate.standing),
            gate.gate,
            quoted(&gate.reason)
        )
    });
    let gates = rows.collect::<Vec<_>>().join("\n");
    format!(
        "{} {}\n\n{gates}",
        mark(verdict.standing),
        match verdict.standing {
            Standing::Green => quoted(&verdict.reason),
            Standing::Waiting => "Not merged yet:".into(),
            Standing::Blocked => "Cannot be merged as it stands:".into(),
        }
    )
}

/// A sentence that may hold names from outside: mentions and markup in it are dead.
pub fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().filter(|c| !is_bidi(*c)) {
        match c {
            '@' => out.push_str("@\u{200b}"),
            '#' => out.push_str("#\u{200b}"),
            '<' => out.push_str("&lt;"),
            c if c.is_control() => out.push(' '),
            '*' | '_' | '[' | ']' | '|' | '\\' | '`' | '~' | '>' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

// ---- pull requests about drift

const DRIFT: &str = "<!-- windlass:drift ";

#[derive(Serialize)]
struct DriftView {
    marker: String,
    title: String,
    lines: Vec<String>,
}

/// Title and body of a pull request that asks whether Git shall have what somebody changed. `digests`: of each object's
/// drift.
pub fn drift(key: &ApplicationKey, plan: &Plan, digests: &BTreeSet<String>) -> (String, String) {
    let digests: Vec<_> = digests.iter().map(String::as_str).collect();
    let view = DriftView {
        marker: format!("{DRIFT}{} -->", digests.join(",")),
        title: key.title(),
        lines: preview::drift_lines(plan),
    };
    (
        format!("{}: keep what was changed by hand?", key.title()),
        render("drift.md", view),
    )
}

/// The drift that a pull request's body is about.
pub fn drift_of(body: &str) -> BTreeSet<String> {
    let marker = body
        .trim_start()
        .strip_prefix(DRIFT)
        .and_then(|rest| rest.split(" -->").next());
    marker
        .into_iter()
        .flat_map(|marker| marker.split(','))
        .map(str::to_string)
        .collect()
}

// ---- promotion pull requests

#[derive(Serialize)]
struct PromotionView {
    title: String,
    stage: String,
    /// Stages that have it, and those that have not (any more), with the reason.
    healthy: Vec<String>,
    lacking: Vec<(String, String)>,
    /// All of it is a step back.
    back: bool,
    candidates: Vec<CandidateView>,
}

#[derive(Serialize)]
struct CandidateView {
    image: String,
    tag: String,
    digest: String,
    source: String,
    commit: String,
    short: String,
    /// The newer tag that is there now, where this is a step back.
    instead_of: Option<String>,
    /// It was there before.
    again: bool,
}

/// A promotion's body. `earlier`: the stages before, each with what it lacks of being healthy with just this.
pub fn promotion(
    key: &ApplicationKey,
    offers: &[Offer],
    earlier: &[(String, Option<String>)],
) -> String {
    render(
        "promotion.md",
        PromotionView {
            title: key.title(),
            stage: key.stage.to_string(),
            healthy: earlier
                .iter()
                .filter(|(_, lacks)| lacks.is_none())
                .map(|(stage, _)| stage.clone())
                .collect(),
            lacking: earlier
                .iter()
                .filter_map(|(stage, lacks)| Some((stage.clone(), quoted(lacks.as_ref()?))))
                .collect(),
            back: !offers.is_empty() && offers.iter().all(|offer| offer.instead_of.is_some()),
            candidates: offers
                .iter()
                .map(
                    |Offer {
                         candidate,
                         instead_of,
                         again,
                     }| CandidateView {
                        image: candidate.image.clone(),
                        tag: candidate.tag.to_string(),
                        digest: candidate.digest.short().into(),
                        source: candidate.source.to_string(),
                        commit: candidate.commit.to_string(),
                        short: candidate.commit.short().into(),
                        instead_of: instead_of.as_ref().map(ToString::to_string),
                        again: *again,
                    },
                )
                .collect(),
        },
    )
}

/// Why images are not proposed in a stage, each in a sentence of the `Promotion` object; None where none is kept back.
/// With the tag that each has now. `reopens`: the pull request that can be opened again.
pub fn not_proposed(stand: &[(&Decision, &Tag)], reopens: Option<u64>) -> Option<String> {
    let told: Vec<_> = stand
        .iter()
        .filter_map(|(one, tag)| Some(format!("{}: {}", named(one, tag), kept_back(one, reopens)?)))
        .collect();
    (!told.is_empty()).then(|| told.join("\n"))
}

fn named(
    Decision {
        image,
        digest,
        tag: then,
        ..
    }: &Decision,
    tag: &Tag,
) -> String {
    let digest = digest.short();
    if tag == then {
        format!("{image} {tag} ({digest})")
    } else {
        format!("{image} {tag} (the same image as {then}, {digest})")
    }
}

fn kept_back(one: &Decision, reopens: Option<u64>) -> Option<String> {
    Some(match one.how {
        How::Merged | How::Proposed => return None,
        How::Failed => one.why.clone().unwrap_or_default(),
        How::Dropped => {
            "dropped, since windlass.yaml does not name the image for this application any more"
                .into()
        }
        How::Reverted => {
            let by = one
                .commit
                .as_ref()
                .map(|commit| format!(" by {}", commit.short()))
                .unwrap_or_default();
            format!(
                "taken back{by}, so it is not proposed here again: merge a pull request that sets it again, or announce a newer image"
            )
        }
        How::Rejected => {
            let number = one.number.unwrap_or_default();
            let reopen = if reopens == Some(number) {
                format!("reopen #{number}, or ")
            } else {
                String::new()
            };
            format!(
                "#{number} was closed, so it is not proposed here again: {reopen}announce a newer image"
            )
        }
    })
}

#[cfg(test)]
mod tests;
