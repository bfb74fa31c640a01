//! Reads the words of command lines.
//!
//! A line may be a sentence, or meant for another bot, so a line is answered only if it is likely to
//! be a command:
//!
//! - A known word with at most [`MOST_LOOSE`] words behind it, or with nothing but
//!   `APPLICATION/STAGE` behind it. More words are prose (`/sync is what I typed`), and so are words
//!   of which the last one ends in a punctuation mark. Who wants to name more applications without
//!   their stages writes `/windlass sync`.
//! - A word that is nearly a known one: at most [`MOST_WRONG`] letters are wrong, and not more than
//!   half of them; what stands behind it looks like arguments too.
//! - A command with arguments of a form of their own (`/rollback shop to 1.2`), if they have it.
//! - A command that ends in the writer's own words (`/hold`), whatever they are.
//! - Everything behind `/windlass`.

use super::{Arguments, COMMANDS, Command, Selector, visible};

/// One command line of a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The original text, for quoting.
    pub text: String,
    pub command: Result<Given, ParseError>,
}

impl Line {
    /// Whether it gives this command.
    pub fn gives(&self, command: Command) -> bool {
        matches!(&self.command, Ok(given) if given.command == command)
    }
}

/// A command that was given, with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub command: Command,
    pub arguments: Arguments,
}

/// Why a line that looks like a command is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseError {
    /// There is no such command; `nearest` is the most similar one.
    Unknown {
        word: String,
        nearest: Option<Command>,
    },
    /// The command does not take this argument.
    Argument { command: Command, word: String },
    /// The command needs more words.
    Missing { command: Command },
}

/// How many command lines of a comment are answered at most.
const MOST: usize = 10;
/// The most letters of a command's word.
const MOST_LETTERS: usize = 24;
/// The most letters of a nearly known word that are wrong.
const MOST_WRONG: usize = 2;
/// The most words behind a command that are arguments whatever they are.
const MOST_LOOSE: usize = 2;
/// Commands of Prow and Dependabot that are nearly ours: they are meant for them
/// (prow.k8s.io/command-help, docs.github.com/code-security/dependabot).
const OTHERS: [&str; 3] = ["retest", "test", "unhold"];
/// The word before a command that names us.
const PREFIX: &str = "windlass";

/// The command lines of a comment, in order.
pub fn parse(comment: &str) -> Vec<Line> {
    let lines = visible::lines(comment).into_iter();
    let commands = lines.filter_map(|text| {
        let command = command(&text)?;
        Some(Line { text, command })
    });
    commands.take(MOST).collect()
}

fn command(line: &str) -> Option<Result<Given, ParseError>> {
    let rest = line.strip_prefix('/')?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (first, arguments) = words.split_first()?;
    // `/etc/hosts`, `//` and `/5` are text.
    if !rest.starts_with(first) || !is_word(first) {
        return None;
    }
    let first = first.to_ascii_lowercase();
    if first == PREFIX {
        return Some(prefixed(arguments));
    }
    let command = known(&first);
    let takes = command.map(Command::takes);
    let is_meant = takes
        .is_some_and(|takes| takes.is_free() || takes.is_exact() && takes.read(arguments).is_ok());
    if !is_meant && is_prose(arguments) {
        return None;
    }
    match command {
        Some(command) => Some(given(command, arguments)),
        // A word that resembles none of ours is a path, or meant for another bot.
        None => nearest(&first).map(|nearest| {
            Err(ParseError::Unknown {
                word: first,
                nearest: Some(nearest),
            })
        }),
    }
}

/// What follows `/windlass`.
fn prefixed(words: &[&str]) -> Result<Given, ParseError> {
    let Some((word, arguments)) = words.split_first() else {
        return given(Command::Help, &[]);
    };
    // `/windlass /sync` is meant well.
    let word = word.strip_prefix('/').unwrap_or(word).to_ascii_lowercase();
    match known(&word) {
        Some(command) => given(command, arguments),
        None => Err(ParseError::Unknown {
            nearest: nearest(&word),
            word,
        }),
    }
}

fn is_word(word: &str) -> bool {
    word.len() <= MOST_LETTERS && word.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-')
}

/// Whether words behind a command are a sentence rather than arguments.
fn is_prose(words: &[&str]) -> bool {
    let ends = |word: &&str| word.ends_with(['.', ',', ':', ';', '!', '?']);
    let names_stage = |word: &&str| Selector::parse(word).is_some_and(|it| it.stage.is_some());
    words.last().is_some_and(ends) || words.len() > MOST_LOOSE && !words.iter().all(names_stage)
}

fn known(word: &str) -> Option<Command> {
    let row = COMMANDS.iter().find(|spec| spec.word == word)?;
    Some(row.command)
}

/// The command that a word is nearly.
fn nearest(word: &str) -> Option<Command> {
    let wrong = |command: &Command| strsim::damerau_levenshtein(command.word(), word);
    let nearest = COMMANDS.iter().map(|spec| spec.command).min_by_key(wrong)?;
    let wrong = wrong(&nearest);
    if OTHERS.contains(&word) {
        return None;
    }
    (wrong <= MOST_WRONG && wrong * 2 <= word.chars().count()).then_some(nearest)
}

fn given(command: Command, words: &[&str]) -> Result<Given, ParseError> {
    match command.takes().read(words) {
        Ok(arguments) => Ok(Given { command, arguments }),
        Err(word) if word.is_empty() => Err(ParseError::Missing { command }),
        Err(word) => Err(ParseError::Argument { command, word }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(comment: &str) -> Vec<String> {
        let word = |line: &Line| match &line.command {
            Ok(given) => {
                let selectors = given.arguments.selectors.iter();
                let selectors: String = selectors.map(|selector| format!(" {selector}")).collect();
                let Arguments {
                    subject,
                    stage,
                    skip,
                    time,
                    reason,
                    ..
                } = &given.arguments;
                let subject = subject.iter().map(|subject| format!(" {subject}"));
                let time = time.iter().map(|time| format!(" for {time}"));
                let reason = Some(reason).filter(|reason| !reason.is_empty());
                let reason = reason.map(|reason| format!(" ({reason})"));
                let given = given.command.word().to_string() + &selectors;
                let stage = stage.iter().map(|stage| format!(" to {stage}"));
                let skip = skip.iter().map(|skip| format!(" without {skip}"));
                let subject = subject.chain(stage).chain(skip);
                subject.chain(time).chain(reason).fold(given, |a, b| a + &b)
            }
            Err(ParseError::Unknown { word, nearest }) => {
                format!("{word}?{}", nearest.map_or("", Command::word))
            }
            Err(ParseError::Argument { command, word }) => format!("{}+{word}", command.word()),
            Err(ParseError::Missing { command }) => format!("{}+", command.word()),
        };
        parse(comment).iter().map(word).collect()
    }

    fn holds(table: &[(&str, &[&str])]) {
        for (comment, expected) in table {
            assert_eq!(words(comment), *expected, "{comment:?}");
        }
    }

    #[test]
    fn each_command_has_its_row() {
        for spec in &COMMANDS {
            assert_eq!(spec.command.word(), spec.word);
            assert!(is_word(spec.word) && spec.word != PREFIX, "{}", spec.word);
        }
        let words: Vec<_> = COMMANDS.iter().map(|spec| spec.word).collect();
        assert!(words.is_sorted(), "{words:?}");
    }

    #[test]
    fn commands_stand_at_the_start_of_a_line() {
        holds(&[
            ("/sync", &["sync"]),
            ("please\n/sync\r\n/why  \nthanks", &["sync", "why"]),
            ("/SYNC", &["sync"]),
            ("please /sync", &[]),
            ("> /sync\n    /sync\n`/sync`", &[]),
            ("```\n/sync\n```\n/why", &["why"]),
            ("/etc/hosts is /5 // nothing\n/usr/bin\n/ sync\n/", &[]),
            ("<!-- a template\n/sync\n-->\n/why", &["why"]),
            ("/why\n<!-- trailer -->", &["why"]),
            (&"/why\n".repeat(MOST + 1), &["why"; MOST]),
        ]);
    }

    #[test]
    fn words_of_others_are_left_alone() {
        holds(&[
            (
                "/lgtm\n/approve\n/assign @bob\n/cc @mia\n/wip\n/retest",
                &[],
            ),
            ("/health is the path that the probe asks.", &[]),
            ("/snyc", &["snyc?sync"]),
            ("/snyc shop/staging", &["snyc?sync"]),
            ("/snyc is a typo of mine", &[]),
            ("/snyc, he wrote", &[]),
            ("/adopts", &["adopts?adopt"]),
            ("/wy\n/wh", &["wy?why", "wh?why"]),
            ("/w", &[]),
        ]);
    }

    #[test]
    fn arguments_are_no_prose() {
        holds(&[
            ("/sync shop", &["sync shop"]),
            ("/sync shop/staging `api`", &["sync shop/staging api"]),
            ("/take a/b  c/d\te/f g/h", &["take a/b c/d e/f g/h"]),
            ("/sync <!-- who? --> shop", &["sync shop"]),
            ("/sync Shop", &["sync+Shop"]),
            ("/sync shop/", &["sync+shop/"]),
            ("/sync ```", &["sync+```"]),
            ("/help me", &["help+me"]),
            ("/preview shop/staging", &["preview+shop/staging"]),
            ("/preview abcdef0", &["preview+abcdef0"]),
            ("/sync is what I typed", &[]),
            ("/sync a b c", &[]),
            ("/sync a/b c/d e", &[]),
            ("/sync works.", &[]),
            ("/why not?", &[]),
            ("/accept-unseen is dangerous here", &[]),
        ]);
    }

    #[test]
    fn some_commands_take_words_of_their_writer() {
        holds(&[
            ("/hold", &["hold+"]),
            (
                "/hold the migration runs, and takes a while.",
                &["hold (the migration runs, and takes a while.)"],
            ),
            (
                "/hold shop/staging --for 2h it is tested",
                &["hold shop/staging for 2h (it is tested)"],
            ),
            ("/hold --for 2h", &["hold+"]),
            ("/hold --for long it is tested", &["hold+long"]),
            ("/hold --for", &["hold+--for"]),
            ("/hold cancel", &["hold+cancel"]),
            (
                "/freeze production until 2026-12-01T08:00[Europe/Berlin] It's the sale.",
                &["freeze production for 2026-12-01T08:00[Europe/Berlin] (It's the sale.)"],
            ),
            ("/freeze production until 2h", &["freeze production for 2h"]),
            ("/freeze production", &["freeze+"]),
            ("/freeze production for 2h", &["freeze+for"]),
            ("/freeze production until", &["freeze+"]),
            ("/freeze production until tomorrow", &["freeze+tomorrow"]),
            ("/freeze Production until 2h", &["freeze+Production"]),
            ("/unfreeze `production`", &["unfreeze production"]),
            ("/unfreeze", &["unfreeze+"]),
            ("/unfreeze a b", &["unfreeze+b"]),
            (
                "/override earlier-stages the shop is down",
                &["override earlier stages (the shop is down)"],
            ),
            ("/override soak", &["override+"]),
            ("/merge", &["merge"]),
            (
                "/merge `ABCDEF0123ABCDEF0123ABCDEF0123ABCDEF0123`",
                &["merge abcdef0123abcdef0123abcdef0123abcdef0123"],
            ),
            ("/merge abcdef0", &["merge+abcdef0"]),
            (
                "/merge abcdef0123abcdef0123abcdef0123abcdef0123 now",
                &["merge+now"],
            ),
            ("/merge conflicts are in the way", &[]),
        ]);
    }

    #[test]
    fn images_and_commits_are_named() {
        holds(&[
            ("/rollback", &["rollback"]),
            (
                "/rollback shop/production to 1.2.0",
                &["rollback shop/production 1.2.0"],
            ),
            ("/rollback to `abcdef0`", &["rollback abcdef0"]),
            ("/rollback shop to sha256:00", &["rollback shop sha256:00"]),
            ("/rollback to", &["rollback+"]),
            ("/rollback to what we had before", &[]),
            ("/rollback to a/b", &["rollback+a/b"]),
            ("/reject 1.2.0", &["reject 1.2.0"]),
            ("/reject 1.2.0 shop/staging", &["reject shop/staging 1.2.0"]),
            ("/reject", &["reject+"]),
            (
                "/promote 1.2.0 to production",
                &["promote 1.2.0 to production"],
            ),
            (
                "/promote 1.2.0 to production --skip staging it is down",
                &["promote 1.2.0 to production without staging (it is down)"],
            ),
            ("/promote 1.2.0 to production --skip staging", &[]),
            (
                "/windlass promote 1.2.0 to production --skip staging",
                &["promote+"],
            ),
            ("/promote 1.2.0", &["promote+"]),
            ("/promote 1.2.0 production", &["promote+production"]),
            ("/promote the change to production", &[]),
        ]);
    }

    #[test]
    fn who_names_us_is_always_answered() {
        holds(&[
            ("/windlass", &["help"]),
            ("/Windlass SYNC", &["sync"]),
            ("/windlass /sync shop", &["sync shop"]),
            ("/windlass sync a b c", &["sync a b c"]),
            ("/windlass sync is what I typed", &["sync+I"]),
            ("/windlass help me", &["help+me"]),
            ("/windlass snyc, now", &["snyc,?sync"]),
            ("/windlass approve", &["approve?"]),
            ("/windlass is a word.", &["is?"]),
            ("/windlass windlass", &["windlass?"]),
            ("/windlas sync\n/windlass/sync", &[]),
        ]);
    }

    proptest! {
        #[test]
        fn the_parser_never_panics(comment in "(?s).{0,200}|(/[a-z]{0,8}|```|> |\n| ){0,20}") {
            prop_assert!(parse(&comment).len() <= MOST);
        }

        /// With the prefix a command is what it is without.
        #[test]
        fn the_prefix_changes_no_command(row in 0..COMMANDS.len(), arguments in "( [a-z]{1,5}/[a-z]{1,5}){0,4}") {
            let word = COMMANDS[row].word;
            let (bare, named) = (parse(&format!("/{word}{arguments}")), parse(&format!("/windlass {word}{arguments}")));
            prop_assert_eq!(bare.len(), 1);
            prop_assert_eq!(&bare[0].command, &named[0].command);
        }
    }
}
