//! Answers to commands: one comment for all command lines of a text.

use serde::Serialize;

use super::markdown::{bounded, code};
use super::markers::REPLY;
use super::render;
use crate::domain::command::{COMMANDS, Line, ParseError, Spec, Takes};
use crate::domain::pull_request::{Source, shortened};

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

/// Characters of a word that a reply quotes.
const MOST_QUOTED_WORD: usize = 60;

/// One comment that answers all command lines of a text; carries its marker.
pub fn reply(source: Source, answers: &[(Line, String)]) -> String {
    let answers = answers.iter().map(|(line, text)| AnswerView {
        quote: code(&shortened(&line.text, MOST_QUOTED)),
        text: text.clone(),
    });
    let body = format!(
        "{REPLY}{source} -->\n{}",
        render(
            "reply.md",
            ReplyView {
                answers: answers.collect()
            }
        )
    );
    bounded(&body)
}

pub fn help() -> String {
    format!(
        "Put each command at the start of a line. `/windlass WORD` is the same as `/WORD`.\n\n{}",
        command_table()
    )
}

/// Every command, with what it does and needs.
pub fn command_table() -> String {
    let rows = COMMANDS.iter().map(|spec| {
        format!(
            "| `{}` | {} | {} |",
            usage(spec),
            spec.summary,
            spec.power.who()
        )
    });
    let table = rows.collect::<Vec<_>>().join("\n");
    format!("| command | what it does | needs |\n|---|---|---|\n{table}")
}

/// A command with what it takes.
fn usage(spec: &Spec) -> String {
    let usage = format!("/{} {}", spec.word, spec.takes.usage());
    usage.trim_end().to_string()
}

pub fn parse_error(parse_error: &ParseError) -> String {
    match parse_error {
        ParseError::Unknown { word, nearest } => {
            let meant = nearest.map(|nearest| format!(" Did you mean `/{}`?", nearest.word()));
            format!(
                "There is no command {}.{} `/help` lists all commands.",
                code(&shortened(&format!("/{word}"), MOST_QUOTED_WORD)),
                meant.unwrap_or_default()
            )
        }
        ParseError::Argument { command, word } => match command.takes() {
            Takes::Nothing => format!("`/{}` takes no arguments.", command.word()),
            Takes::Applications => format!(
                "{} is not the name of an application: `{}`.",
                code(&shortened(word, MOST_QUOTED_WORD)),
                usage(command.spec())
            ),
            Takes::Hold if word == "cancel" => "`/resume` ends a hold.".into(),
            _ => format!(
                "{} does not belong there: `{}`.",
                code(&shortened(word, MOST_QUOTED_WORD)),
                usage(command.spec())
            ),
        },
        ParseError::Missing { command } => {
            format!("It needs more words: `{}`.", usage(command.spec()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_answers_line_by_line() {
        let lines = crate::domain::command::parse("/help\n/snyc");
        let answers: Vec<_> = lines
            .into_iter()
            .map(|line| {
                let text = match &line.command {
                    Ok(_) => help(),
                    Err(wrong) => parse_error(wrong),
                };
                (line, text)
            })
            .collect();
        insta::assert_snapshot!(reply(Source::Comment(9), &answers), @"
    <!-- windlass:reply 9 -->
    > `/help`

    Put each command at the start of a line. `/windlass WORD` is the same as `/WORD`.

    | command | what it does | needs |
    |---|---|---|
    | `/accept-unseen` | accepts the changes that do not fit into the preview of this commit; only somebody who may approve can do this | write |
    | `/adopt [APPLICATION[/STAGE] …]` | lets the first sync change objects that existed before windlass, in the applications that this pull request touches | write; where the stage needs approvals, somebody who may approve; only once the pull request is merged |
    | `/cancel` | takes back an earlier `/merge` that has not happened yet | write |
    | `/confirm-prune [APPLICATION[/STAGE] …]` | confirms the pending deletions in the applications that this pull request touches | write; where the stage needs approvals, somebody who may approve; only once the pull request is merged |
    | `/freeze STAGE until TIME [REASON]` | keeps everything from being merged into a stage until then, for all its applications; TIME is `2h`, `2026-12-01`, `2026-12-01T08:00:00Z` or `2026-12-01T08:00[Europe/Berlin]` | write; where the stage needs approvals, somebody who may approve |
    | `/help` | lists these commands | write |
    | `/history [APPLICATION[/STAGE] …]` | lists the commits that were synced and healthy, and those that failed, newest first | write |
    | `/hold [APPLICATION/STAGE …] [--for TIME] REASON` | keeps windlass from merging anything by itself into these stages until `/resume`, or until the time is over; what Git has is synced all the same | write |
    | `/merge [COMMIT]` | merges this commit as soon as every gate has passed, also a pull request that windlass did not open | write |
    | `/override GATE REASON` | breaks glass: passes a gate of this commit (approvals, earlier-stages, soak, windows or holds) once two people have given it whom every stage names under `breakGlass` | write |
    | `/preview` | asks the cluster again what this pull request would change, and updates the preview | write |
    | `/resume [APPLICATION[/STAGE] …]` | ends a hold | write; where the stage needs approvals, somebody who may approve |
    | `/status [APPLICATION[/STAGE] …]` | shows for each application whether it is synced and healthy, its commit, and what it waits for | write |
    | `/sync [APPLICATION[/STAGE] …]` | syncs the applications that this pull request touches to the base branch as it is now (not to this pull request) | write; where the stage needs approvals, somebody who may approve |
    | `/take [APPLICATION[/STAGE] …]` | overwrites the conflicting fields that the preview lists with Git's values | write; where the stage needs approvals, somebody who may approve |
    | `/unfreeze STAGE` | ends the freezes of a stage that were given by `/freeze` or with kubectl | write; where the stage needs approvals, somebody who may approve |
    | `/why [APPLICATION[/STAGE] …]` | explains, gate by gate, why this pull request is or is not merged | write |

    > `/snyc`

    There is no command `/snyc`. Did you mean `/sync`? `/help` lists all commands.
    ");
    }
}
