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
            Takes::Commit => format!(
                "{} is not a whole commit: give all 40 digits, `{}`.",
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
        let reply =
            reply(Source::Comment(9), &answers).replace(&command_table(), "(every command)");
        insta::assert_snapshot!(reply, @"
    <!-- windlass:reply 9 -->
    > `/help`

    Put each command at the start of a line. `/windlass WORD` is the same as `/WORD`.

    (every command)

    > `/snyc`

    There is no command `/snyc`. Did you mean `/sync`? `/help` lists all commands.
    ");
    }
}
