//! Reads the commands of a comment.

use super::{COMMANDS, Command, visible};

/// One command line of a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The original text, for quoting.
    pub text: String,
    pub command: Result<Command, ParseError>,
}

/// Why a line that looks like a command is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseError {
    /// There is no such command; `nearest` is the most similar one.
    Unknown { word: String, nearest: Command },
    /// The command takes no arguments.
    Argument { command: Command },
}

/// How many command lines of a comment are answered at most.
const MOST: usize = 10;

/// The command lines of a comment, in order.
pub fn parse(comment: &str) -> Vec<Line> {
    let lines = visible::lines(comment).into_iter();
    let commands = lines.filter_map(|text| {
        let command = command(&text)?;
        Some(Line { text, command })
    });
    commands.take(MOST).collect()
}

fn command(line: &str) -> Option<Result<Command, ParseError>> {
    let rest = line.strip_prefix('/')?;
    let mut words = rest.split_whitespace();
    let word = words.next()?;
    // `/etc/hosts`, `//` and `/5` are text.
    if !rest.starts_with(word)
        || !word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-')
        || word.len() > 24
    {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let all = || COMMANDS.iter().map(|spec| spec.command);
    Some(match all().find(|command| command.word() == lower) {
        Some(command) if words.next().is_some() => Err(ParseError::Argument { command }),
        Some(command) => Ok(command),
        None => {
            // A word that resembles none of ours is a path, or meant for another bot.
            let distance = |command: &Command| strsim::damerau_levenshtein(command.word(), &lower);
            let nearest = all()
                .min_by_key(distance)
                .filter(|command| distance(command) <= 2)?;
            if distance(&nearest) * 2 > lower.len() {
                return None;
            }
            Err(ParseError::Unknown {
                word: lower,
                nearest,
            })
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(comment: &str) -> Vec<String> {
        parse(comment)
            .iter()
            .map(|line| match &line.command {
                Ok(command) => command.word().to_string(),
                Err(ParseError::Unknown { word, nearest }) => format!("{word}?{}", nearest.word()),
                Err(ParseError::Argument { command }) => format!("{}+", command.word()),
            })
            .collect()
    }

    #[test]
    fn each_command_has_its_row() {
        for spec in &COMMANDS {
            assert_eq!(spec.command.word(), spec.word);
        }
        let words: Vec<_> = COMMANDS.iter().map(|spec| spec.word).collect();
        assert!(words.is_sorted(), "{words:?}");
    }

    #[test]
    fn commands_stand_at_the_start_of_a_line() {
        let table: [(&str, &[&str]); 15] = [
            ("/sync", &["sync"]),
            ("please\n/sync\r\n/why  \nthanks", &["sync", "why"]),
            ("/SYNC", &["sync"]),
            ("please /sync", &[]),
            ("> /sync\n    /sync\n`/sync`", &[]),
            ("```\n/sync\n```\n/why", &["why"]),
            ("````\n```\n/sync\n````\n/help", &["help"]),
            ("/etc/hosts is /5 // nothing\n/usr/bin", &[]),
            ("/snyc", &["snyc?sync"]),
            ("/sync now", &["sync+"]),
            (
                "/lgtm\n/approve\n/assign @bob\n/cc @mia\n/health is a path\n/wip",
                &[],
            ),
            ("<!-- a template\n/sync\n-->\n/why", &["why"]),
            ("<!--\n/sync", &[]),
            ("a <!-- x\n-->/sync", &[]),
            ("/why\n<!-- trailer -->", &["why"]),
        ];
        for (comment, expected) in table {
            assert_eq!(words(comment), expected, "{comment:?}");
        }
    }

    proptest! {
        #[test]
        fn the_parser_never_panics(comment in "(?s).{0,200}|(/[a-z]{0,8}|```|> |\n| ){0,20}") {
            prop_assert!(parse(&comment).len() <= MOST);
        }
    }
}
