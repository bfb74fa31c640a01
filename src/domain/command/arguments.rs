//! The arguments of commands.

use std::fmt;

use crate::domain::{ApplicationKey, Name};

/// What a command takes behind its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    /// Applications to limit the command to.
    Applications,
}

impl Takes {
    /// As the help text shows it; empty: nothing.
    pub fn usage(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Applications => "[APPLICATION[/STAGE] …]",
        }
    }
}

/// What was given behind a command's word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// The applications that the command is limited to; empty: all that the pull request touches.
    pub selectors: Vec<Selector>,
}

impl Arguments {
    /// Whether the command is about the application.
    pub fn select(&self, application: &ApplicationKey) -> bool {
        let mut selectors = self.selectors.iter();
        self.selectors.is_empty() || selectors.any(|selector| selector.matches(application))
    }

    /// The selectors that match none of the applications.
    pub fn unmatched(&self, applications: &[ApplicationKey]) -> Vec<Selector> {
        let is_unmatched =
            |selector: &&Selector| !applications.iter().any(|it| selector.matches(it));
        self.selectors
            .iter()
            .filter(is_unmatched)
            .cloned()
            .collect()
    }
}

/// An application in one stage, or in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    pub application: Name,
    pub stage: Option<Name>,
}

impl Selector {
    /// Reads `APPLICATION` or `APPLICATION/STAGE`, perhaps between backticks.
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.trim_matches('`');
        let (application, stage) = match word.split_once('/') {
            Some((application, stage)) => (application, Some(stage.parse().ok()?)),
            None => (word, None),
        };
        Some(Self {
            application: application.parse().ok()?,
            stage,
        })
    }

    fn matches(&self, application: &ApplicationKey) -> bool {
        self.application == application.application
            && self
                .stage
                .as_ref()
                .is_none_or(|stage| *stage == application.stage)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.application.as_str())?;
        match &self.stage {
            Some(stage) => write!(f, "/{}", stage.as_str()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_names_an_application_in_one_stage_or_in_all() {
        let key = |application: &str, stage: &str| ApplicationKey {
            repo: "acme/config".parse().unwrap(),
            application: application.parse().unwrap(),
            stage: stage.parse().unwrap(),
        };
        let all = [
            key("shop", "staging"),
            key("shop", "production"),
            key("api", "staging"),
        ];
        let table: [(&[&str], &[bool], &[&str]); 5] = [
            (&[], &[true, true, true], &[]),
            (&["shop"], &[true, true, false], &[]),
            (&["shop/staging", "`api`"], &[true, false, true], &[]),
            (&["shop/test"], &[false, false, false], &["shop/test"]),
            (&["staging", "api"], &[false, false, true], &["staging"]),
        ];
        for (words, expected, unmatched) in table {
            let selectors = words.iter().map(|word| Selector::parse(word).unwrap());
            let arguments = Arguments {
                selectors: selectors.collect(),
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
        for bad in ["", "/", "shop/", "/staging", "Shop", "a/b/c", "é", "shop."] {
            assert_eq!(Selector::parse(bad), None, "{bad:?}");
        }
    }
}
