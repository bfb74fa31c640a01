//! The arguments of commands.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::domain::{Name, TargetKey, calendar, sync};

/// What a command takes behind its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    /// Applications to limit the command to.
    Applications,
    /// A commit, by all of its digits: shorter names can be made to fit another one.
    Commit,
    /// How long, and why.
    Hold,
    /// A stage, until when, and perhaps why.
    Freeze,
    /// A stage.
    Stage,
    /// A gate, and why.
    Gate,
    /// An image, and applications to limit the command to.
    Image,
    /// An image, and the stage that it goes to.
    Promotion,
    /// Applications to limit the command to, and what they go back to.
    Rollback,
}

impl Takes {
    /// As the help text shows it; empty: nothing.
    pub fn usage(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Applications => "[APPLICATION[/STAGE] …]",
            Self::Commit => "[COMMIT]",
            Self::Hold => "[APPLICATION/STAGE …] [--for TIME] REASON",
            Self::Freeze => "STAGE until TIME [REASON]",
            Self::Stage => "STAGE",
            Self::Gate => "GATE REASON",
            Self::Image => "IMAGE [APPLICATION[/STAGE] …]",
            Self::Promotion => "IMAGE to STAGE [--skip STAGE REASON]",
            Self::Rollback => "[APPLICATION[/STAGE] …] [to REVISION]",
        }
    }

    /// Whether it is about applications that the pull request touches.
    pub fn is_about_applications(self) -> bool {
        matches!(
            self,
            Self::Applications | Self::Hold | Self::Image | Self::Rollback
        )
    }

    /// Whether words that it can read are its arguments, however many they are.
    pub fn is_exact(self) -> bool {
        matches!(self, Self::Image | Self::Promotion | Self::Rollback)
    }

    /// Whether it ends in words of the writer's own: then no line is taken for prose.
    pub fn is_free(self) -> bool {
        matches!(self, Self::Hold | Self::Freeze | Self::Gate)
    }

    /// Reads the words behind a command. An error: the word that is wrong, or empty if one is
    /// missing.
    pub fn read(self, words: &[&str]) -> Result<Arguments, String> {
        let mut words = Words(words);
        let mut arguments = Arguments::default();
        match self {
            Self::Nothing => {}
            Self::Applications => arguments.selectors = words.applications()?,
            Self::Commit => {
                if let Some(word) = words.next() {
                    let commit = word.trim_matches('`').to_ascii_lowercase();
                    let is_sha = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
                    if commit.len() != 40 || !is_sha(&commit) {
                        return Err(word.into());
                    }
                    arguments.subject = Some(commit);
                }
            }
            Self::Hold => {
                arguments.selectors = words.stages();
                if words.take_word("--for") {
                    let time = words.next().unwrap_or("--for");
                    sync::duration(time).ok_or(time)?;
                    arguments.time = Some(time.into());
                }
                arguments.reason = words.rest()?;
                // Another bot's way to end a hold.
                if arguments.reason == "cancel" {
                    return Err(arguments.reason);
                }
            }
            Self::Freeze => {
                arguments.subject = Some(words.stage()?.to_string());
                words.word("until")?;
                let time = words.needed()?.trim_matches('`');
                freeze_end(time, Timestamp::UNIX_EPOCH).ok_or(time)?;
                arguments.time = Some(time.into());
                arguments.reason = words.rest().unwrap_or_default();
            }
            Self::Stage => arguments.subject = Some(words.stage()?.to_string()),
            Self::Gate => {
                let gate = words.needed()?.trim_matches('`').to_ascii_lowercase();
                arguments.subject = Some(gate.replace('-', " "));
                arguments.reason = words.rest()?;
            }
            Self::Image | Self::Promotion | Self::Rollback => {
                self.read_revision(&mut words, &mut arguments)?;
            }
        }
        match words.next() {
            Some(word) => Err(word.into()),
            None => Ok(arguments),
        }
    }

    /// Reads what stands behind `/reject`, `/promote` and `/rollback`.
    fn read_revision(self, words: &mut Words<'_>, arguments: &mut Arguments) -> Result<(), String> {
        match self {
            Self::Image => {
                arguments.subject = Some(words.revision()?);
                arguments.selectors = words.applications()?;
            }
            Self::Promotion => {
                arguments.subject = Some(words.revision()?);
                words.word("to")?;
                arguments.stage = Some(words.stage()?);
                if words.take_word("--skip") {
                    arguments.skip = Some(words.stage()?);
                    arguments.reason = words.rest()?;
                }
            }
            _ => {
                arguments.selectors = words.applications()?;
                if words.take_word("to") {
                    arguments.subject = Some(words.revision()?);
                }
            }
        }
        Ok(())
    }
}

/// When a freeze ends, as people write it: a duration from now on, or a time, in UTC if it has no
/// zone of its own.
pub fn freeze_end(text: &str, now: Timestamp) -> Option<Timestamp> {
    match sync::duration(text) {
        Some(duration) => now.checked_add(duration).ok(),
        None => calendar::moment(text, &TimeZone::UTC).ok(),
    }
}

/// The words that are not read yet.
struct Words<'a>(&'a [&'a str]);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// The next word. An error: there is none.
    fn needed(&mut self) -> Result<&'a str, String> {
        self.next().ok_or_else(String::new)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is_next = self.0.first() == Some(&word);
        if is_next {
            self.next();
        }
        is_next
    }

    /// An error: the next word is another one.
    fn word(&mut self, word: &str) -> Result<(), String> {
        match self.take_word(word) {
            true => Ok(()),
            false => Err(self
                .0
                .first()
                .map_or_else(String::new, |next| (*next).into())),
        }
    }

    /// The name of a stage.
    fn stage(&mut self) -> Result<Name, String> {
        let word = self.next().unwrap_or_default();
        word.trim_matches('`').parse().map_err(|_| word.to_string())
    }

    /// A tag, a digest, or a commit.
    fn revision(&mut self) -> Result<String, String> {
        let word = self.next().unwrap_or_default();
        let text = word.trim_matches('`');
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"_.:-+".contains(&b);
        let is_legal = !text.is_empty() && text.len() <= 140 && text.bytes().all(legal);
        is_legal.then(|| text.to_string()).ok_or(word.to_string())
    }

    /// The applications up to the word `to`.
    fn applications(&mut self) -> Result<Vec<Selector>, String> {
        let mut found = Vec::new();
        while let Some(word) = self.0.first().filter(|word| **word != "to") {
            found.push(Selector::parse(word).ok_or_else(|| (*word).to_string())?);
            self.next();
        }
        Ok(found)
    }

    /// The applications with their stages that stand next.
    fn stages(&mut self) -> Vec<Selector> {
        let mut found = Vec::new();
        while let Some(selector) = self.0.first().and_then(|word| Selector::parse(word))
            && selector.stage.is_some()
            // Who holds a stage holds it in all of its clusters; and a reason may begin with a path.
            && selector.cluster.is_none()
        {
            found.push(selector);
            self.next();
        }
        found
    }

    /// All words that are left, as a text. An error: there are none.
    fn rest(&mut self) -> Result<String, String> {
        let text = std::mem::take(&mut self.0).join(" ");
        if text.is_empty() {
            return Err(text);
        }
        Ok(text)
    }
}

/// What was given behind a command's word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// The applications that the command is limited to; empty: all that the pull request touches.
    pub selectors: Vec<Selector>,
    /// What the command is about: a commit, an image, a stage, a gate.
    pub subject: Option<String>,
    /// The stage that the command is about.
    pub stage: Option<Name>,
    /// The earlier stage that is passed over.
    pub skip: Option<Name>,
    /// How long, or until when, as it was written.
    pub time: Option<String>,
    /// Why, in the writer's words.
    pub reason: String,
}

impl Arguments {
    /// Whether the command is about the application.
    pub fn select(&self, application: &TargetKey) -> bool {
        let mut selectors = self.selectors.iter();
        self.selectors.is_empty() || selectors.any(|selector| selector.matches(application))
    }

    /// The selectors that match none of the applications.
    pub fn unmatched(&self, applications: &[TargetKey]) -> Vec<Selector> {
        let is_unmatched =
            |selector: &&Selector| !applications.iter().any(|it| selector.matches(it));
        self.selectors
            .iter()
            .filter(is_unmatched)
            .cloned()
            .collect()
    }
}

/// An application in one stage, or in all; and in one of the stage's clusters, or in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    pub application: Name,
    pub stage: Option<Name>,
    pub cluster: Option<Name>,
}

impl Selector {
    /// Reads `APPLICATION`, `APPLICATION/STAGE` or `APPLICATION/STAGE/CLUSTER`, perhaps between
    /// backticks.
    pub fn parse(word: &str) -> Option<Self> {
        let mut names = word.trim_matches('`').splitn(3, '/').map(str::parse);
        Some(Self {
            application: names.next()?.ok()?,
            stage: names.next().transpose().ok()?,
            cluster: names.next().transpose().ok()?,
        })
    }

    pub fn matches(&self, application: &TargetKey) -> bool {
        let stage = self.stage.as_ref();
        self.application == application.application
            && stage.is_none_or(|stage| *stage == application.stage)
            && (self.cluster.is_none() || self.cluster == application.cluster)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.application.as_str())?;
        let rest = self.stage.iter().chain(&self.cluster);
        rest.into_iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_names_an_application_in_one_stage_or_in_all() {
        let key = |application: &str, stage: &str, cluster: Option<&str>| TargetKey {
            repo: "acme/config".parse().unwrap(),
            application: application.parse().unwrap(),
            stage: stage.parse().unwrap(),
            cluster: cluster.map(|cluster| cluster.parse().unwrap()),
        };
        let all = [
            key("shop", "staging", None),
            key("shop", "live", Some("eu")),
            key("shop", "live", Some("us")),
            key("api", "staging", None),
        ];
        let (yes, no) = (true, false);
        let table: [(&[&str], &[bool], &[&str]); 7] = [
            (&[], &[yes, yes, yes, yes], &[]),
            (&["shop"], &[yes, yes, yes, no], &[]),
            (&["shop/staging", "`api`"], &[yes, no, no, yes], &[]),
            (&["shop/live"], &[no, yes, yes, no], &[]),
            (&["shop/live/us"], &[no, no, yes, no], &[]),
            (
                &["shop/staging/us"],
                &[no, no, no, no],
                &["shop/staging/us"],
            ),
            (&["staging", "api"], &[no, no, no, yes], &["staging"]),
        ];
        for (words, expected, unmatched) in table {
            let selectors = words.iter().map(|word| Selector::parse(word).unwrap());
            let arguments = Arguments {
                selectors: selectors.collect(),
                ..Arguments::default()
            };
            let selected: Vec<_> = all.iter().map(|key| arguments.select(key)).collect();
            assert_eq!(selected, expected, "{words:?}");
            let words: Vec<_> = arguments
                .unmatched(&all)
                .iter()
                .map(Selector::to_string)
                .collect();
            assert_eq!(words, unmatched);
        }
        for bad in [
            "", "/", "shop/", "/staging", "Shop", "a/b/c/d", "é", "shop.",
        ] {
            assert_eq!(Selector::parse(bad), None, "{bad:?}");
        }
    }
}
