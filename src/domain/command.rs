//! The commands that people give in a pull request's thread.
//!
//! A command stands at the start of a line: `/sync`. Code, quotes and indented
//! text are passed over, so a reply that quotes a command gives none. The help
//! text and the documentation are made from [`Command::ALL`].

/// A command. Closed: adding one breaks every place that has to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Adopt,
    ConfirmPrune,
    Help,
    Preview,
    Sync,
    Take,
    Why,
}

/// What a person's repository permission must at least be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    None,
    Read,
    Write,
    Admin,
}

impl Permission {
    /// As GitHub's `permission` field has it (`maintain` arrives as `write`, `triage` as `read`).
    pub fn parse(text: &str) -> Self {
        match text {
            "admin" => Self::Admin,
            "write" | "maintain" => Self::Write,
            "read" | "triage" => Self::Read,
            _ => Self::None,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::None => "no",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl Command {
    pub const ALL: [Self; 7] = [Self::Adopt, Self::ConfirmPrune, Self::Help, Self::Preview, Self::Sync, Self::Take, Self::Why];

    pub fn word(self) -> &'static str {
        match self {
            Self::Adopt => "adopt",
            Self::ConfirmPrune => "confirm-prune",
            Self::Help => "help",
            Self::Preview => "preview",
            Self::Sync => "sync",
            Self::Take => "take",
            Self::Why => "why",
        }
    }

    /// One line of help.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Adopt => "lets the first sync of the applications that this pull request touches change what was there before windlass",
            Self::ConfirmPrune => "confirms the deletions that wait for it, in the applications that this pull request touches",
            Self::Help => "lists these commands",
            Self::Preview => "asks the cluster again what this pull request would change, and updates the preview",
            Self::Sync => {
                "syncs the applications that this pull request touches to the tracked branch as it is now (not to this pull request)"
            }
            Self::Take => "has the fields that others hold, and that the preview names, set as Git has them",
            Self::Why => "explains, gate by gate, why this pull request is or is not merged",
        }
    }

    pub fn needs(self) -> Permission {
        match self {
            Self::Help | Self::Why => Permission::Read,
            Self::Adopt | Self::ConfirmPrune | Self::Preview | Self::Sync | Self::Take => Permission::Write,
        }
    }
}

/// One command line of a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// As it was written, for quoting.
    pub text: String,
    pub meaning: Result<Command, Mistake>,
}

/// A line that looks like a command and is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mistake {
    /// No such command; the nearest one.
    Unknown { word: String, nearest: Command },
    /// The command takes nothing after its name.
    Argument { command: Command },
}

/// At most this many lines of a comment are answered.
const MOST: usize = 10;

/// The command lines of a comment, in order.
pub fn parse(comment: &str) -> Vec<Line> {
    let mut found = Vec::new();
    let mut fence: Option<String> = None;
    for line in comment.lines() {
        let trimmed = line.trim_end();
        let marker: String = trimmed.trim_start().chars().take_while(|c| matches!(c, '`' | '~')).collect();
        if marker.len() >= 3 {
            match &fence {
                Some(open) if marker.starts_with(open.as_str()) => fence = None,
                Some(_) => {}
                None => fence = Some(marker),
            }
            continue;
        }
        if fence.is_none()
            && found.len() < MOST
            && let Some(meaning) = meaning(trimmed)
        {
            found.push(Line { text: trimmed.to_string(), meaning });
        }
    }
    found
}

fn meaning(line: &str) -> Option<Result<Command, Mistake>> {
    let rest = line.strip_prefix('/')?;
    let mut words = rest.split_whitespace();
    let word = words.next()?;
    // `/etc/hosts`, `//` and `/5` are text.
    if !rest.starts_with(word) || !word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') || word.len() > 24 {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    Some(match Command::ALL.into_iter().find(|command| command.word() == lower) {
        Some(command) if words.next().is_some() => Err(Mistake::Argument { command }),
        Some(command) => Ok(command),
        None => {
            let nearest = Command::ALL.into_iter().min_by_key(|command| strsim::damerau_levenshtein(command.word(), &lower));
            Err(Mistake::Unknown { word: lower, nearest: nearest.unwrap_or(Command::Help) })
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
            .map(|line| match &line.meaning {
                Ok(command) => command.word().to_string(),
                Err(Mistake::Unknown { word, nearest }) => format!("{word}?{}", nearest.word()),
                Err(Mistake::Argument { command }) => format!("{}+", command.word()),
            })
            .collect()
    }

    #[test]
    fn commands_stand_at_the_start_of_a_line() {
        let table: [(&str, &[&str]); 10] = [
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
