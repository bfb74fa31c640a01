//! Which approvals count: one rule for the gate, for prunes, for commands and for
//! receipts.
//!
//! An approval counts if its author may approve, gave it on the current head after
//! that head's preview, and neither wrote nor pushed any commit of it. If any of
//! this is unknown, it does not count.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;

use super::CommitSha;

/// The last opinion of a reviewer. Times are GitHub's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    pub user: String,
    pub approves: bool,
    pub commit: Option<CommitSha>,
    pub submitted_at: Timestamp,
    /// Whether the reviewer may write to the repository.
    pub may_write: bool,
}

/// Who opened the pull request, and who wrote or pushed any commit of it, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contributors {
    Known(BTreeSet<String>),
    /// It is unknown, for this reason: then nobody's approval counts.
    Unknown(Doubt),
}

/// Why it is unknown who wrote the commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The address of a commit's author or committer belongs to no GitHub account.
    Address { commit: CommitSha, email: String },
    /// GitHub does not say who pushed the head.
    Push { head: CommitSha },
    /// Another bot than the pull request's author wrote or pushed a commit: anybody who can run it
    /// may have caused that.
    Bot { login: String },
    /// A request to GitHub failed.
    Unanswered { why: String },
    /// The head is in another repository.
    Fork,
    /// More commits than GitHub lists.
    TooMany { commits: usize },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { commit, email } => write!(
                f,
                "commit {} is by {email}, an address that belongs to no GitHub account, so any reviewer could be its author: add the address to an account, or rewrite the commit",
                commit.short()
            ),
            Self::Push { head } => write!(f, "GitHub does not say who pushed {}", head.short()),
            Self::Bot { login } => write!(
                f,
                "{login} wrote or pushed a commit of it, and GitHub does not say who triggered that"
            ),
            Self::Unanswered { why } => {
                write!(f, "GitHub does not say who wrote and pushed it ({why})")
            }
            Self::Fork => {
                f.write_str("the head is in a fork, and GitHub does not say who pushed it there")
            }
            Self::TooMany { commits } => write!(
                f,
                "it has {commits} commits or more, and GitHub lists no more of them: split it"
            ),
        }
    }
}

impl Contributors {
    pub fn known(logins: impl IntoIterator<Item = String>) -> Self {
        Self::Known(
            logins
                .into_iter()
                .map(|login| login.to_ascii_lowercase())
                .collect(),
        )
    }
}

/// What an approval is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    pub head: &'a CommitSha,
    /// When the preview of this head was complete.
    pub previewed_at: Option<Timestamp>,
    pub contributors: &'a Contributors,
    /// Who may approve; None: everybody who may write to the repository.
    pub approvers: Option<&'a BTreeSet<String>>,
}

/// Why an approval does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyNot {
    Own,
    Unknown(Doubt),
    MayNotWrite,
    NoApprover,
    OlderCommit,
    BeforePreview,
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "they opened the pull request, or wrote or pushed a commit of it",
            Self::Unknown(doubt) => return doubt.fmt(f),
            Self::MayNotWrite => "they may not write to this repository",
            Self::NoApprover => "they are not among the stage's approvers",
            Self::OlderCommit => "it was given on an older commit",
            Self::BeforePreview => "it was given before the preview of this commit",
        })
    }
}

impl Case<'_> {
    /// Whether an approving review counts.
    pub fn counts(&self, review: &Review) -> Result<(), WhyNot> {
        self.may_approve(&review.user, review.may_write)?;
        if review.commit.as_ref() != Some(self.head) {
            return Err(WhyNot::OlderCommit);
        }
        match self.previewed_at {
            Some(at) if review.submitted_at >= at => Ok(()),
            _ => Err(WhyNot::BeforePreview),
        }
    }

    /// Whether a user may approve at all.
    pub fn may_approve(&self, user: &str, may_write: bool) -> Result<(), WhyNot> {
        match self.approvers {
            Some(approvers) if !approvers.contains(&user.to_ascii_lowercase()) => {
                return Err(WhyNot::NoApprover);
            }
            None if !may_write => return Err(WhyNot::MayNotWrite),
            _ => {}
        }
        match self.contributors {
            Contributors::Unknown(doubt) => Err(WhyNot::Unknown(doubt.clone())),
            Contributors::Known(contributors)
                if contributors.contains(&user.to_ascii_lowercase()) =>
            {
                Err(WhyNot::Own)
            }
            Contributors::Known(_) => Ok(()),
        }
    }

    /// Who approved, if nobody with a word of their own requested changes.
    pub fn approved_by<'a>(&self, reviews: &'a [Review]) -> Vec<&'a str> {
        if reviews
            .iter()
            .any(|review| !review.approves && review.may_write)
        {
            return Vec::new();
        }
        reviews
            .iter()
            .filter(|review| review.approves && self.counts(review).is_ok())
            .map(|review| review.user.as_str())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> CommitSha {
        "a".repeat(40).parse().unwrap()
    }

    fn previewed_at() -> Timestamp {
        "2026-01-01T10:00:00Z".parse().unwrap()
    }

    /// An approval of the head that counts, but for one change.
    fn review(change: fn(&mut Review)) -> Review {
        let mut review = Review {
            user: "Bob".into(),
            approves: true,
            commit: Some(head()),
            submitted_at: previewed_at(),
            may_write: true,
        };
        change(&mut review);
        review
    }

    #[test]
    fn an_approval_is_independent_current_and_informed() {
        let good = review(|_| {});
        let reader = review(|it| it.may_write = false);
        let older = review(|it| it.commit = Some("b".repeat(40).parse().unwrap()));
        let early = review(|it| it.submitted_at = "2026-01-01T09:59:59Z".parse().unwrap());
        let others = Contributors::known(["Mia".to_string()]);
        let bobs = Contributors::known(["bob".to_string()]);
        let unknown = Contributors::Unknown(Doubt::Fork);
        let team = BTreeSet::from(["bob".to_string()]);
        let nobody = BTreeSet::new();
        let case = Case {
            head: &head(),
            previewed_at: Some(previewed_at()),
            contributors: &others,
            approvers: None,
        };
        let written_by = |contributors| Case {
            contributors,
            ..case
        };
        let approved_by = |approvers| Case {
            approvers: Some(approvers),
            ..case
        };
        let unpreviewed = Case {
            previewed_at: None,
            ..case
        };
        let fork = WhyNot::Unknown(Doubt::Fork);
        let table = [
            (case, &good, Ok(())),
            (written_by(&bobs), &good, Err(WhyNot::Own)),
            (written_by(&unknown), &good, Err(fork)),
            (unpreviewed, &good, Err(WhyNot::BeforePreview)),
            (approved_by(&nobody), &good, Err(WhyNot::NoApprover)),
            (approved_by(&team), &reader, Ok(())),
            (case, &reader, Err(WhyNot::MayNotWrite)),
            (case, &older, Err(WhyNot::OlderCommit)),
            (case, &early, Err(WhyNot::BeforePreview)),
        ];
        for (case, review, expected) in table {
            assert_eq!(case.counts(review), expected, "{case:?} {review:?}");
        }
    }

    #[test]
    fn nothing_is_approved_while_a_writer_asks_for_changes() {
        let case = Case {
            head: &head(),
            previewed_at: Some(previewed_at()),
            contributors: &Contributors::known(["Mia".to_string()]),
            approvers: None,
        };
        let good = review(|_| {});
        assert_eq!(case.approved_by(std::slice::from_ref(&good)), ["Bob"]);
        let against = review(|it| {
            it.user = "ada".into();
            it.approves = false;
        });
        assert!(case.approved_by(&[good, against]).is_empty());
    }
}
