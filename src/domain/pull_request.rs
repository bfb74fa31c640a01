//! What windlass does next on a pull request.
//!
//! The loop reads one snapshot, decides the steps, takes them, and looks again
//! until there is nothing left to do. Known races: a push between the preview
//! and the merge (the permit carries the head), two loops posting a comment
//! (one key is worked on by one task), an answer lost on the way (the marker in
//! our own comments is looked up before anything is posted).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::command::{Line, Permission};
use super::gate::{MergePermit, Standing, Verdict};
use super::health::{Health, SyncState};
use super::image::{Candidate, ImageRef};
use super::plan::{self, Plan};
use super::{ApplicationKey, CommitSha};

/// The check run on heads that holds the preview.
pub const CHECK: &str = "windlass/preview";
/// The check run on heads that tells the verdict: only an App can make one, so nobody else can say that it is green.
pub const GATE_CONTEXT: &str = "windlass/gate";
/// The commit status on merged commits: one per commit, over all its applications.
pub const SYNC_CONTEXT: &str = "windlass/sync";

/// What a pull request would do to the live clusters.
#[derive(Debug, Clone)]
pub struct Preview {
    pub head: CommitSha,
    pub base: CommitSha,
    /// The applications whose inputs differ between base and head.
    pub applications: Vec<ApplicationPreview>,
    /// How many applications the base declares.
    pub total: usize,
    /// Why there is nothing to show at all.
    pub failure: Option<Failure>,
    pub duration: Duration,
}

/// Why a pull request has no preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Files that base and head changed incompatibly.
    Conflict(Vec<String>),
    /// The head is in a fork: untrusted, so neither rendered nor dry-run.
    Fork,
    /// The tree of the head is too large to be listed, in words.
    TooLarge(String),
    /// windlass died while it looked at this head.
    Killed,
    /// The configuration cannot be read, in words for its author.
    Configuration(String),
}

/// One application in one stage.
#[derive(Debug, Clone)]
pub struct ApplicationPreview {
    pub key: ApplicationKey,
    pub cluster: String,
    /// What the pull request does: a sync of the base against a sync of the head.
    pub plan: Plan,
    /// What a sync would do to the live objects even without the pull request.
    pub drift: Plan,
    /// What is merged and not applied yet.
    pub waiting: Plan,
    /// Objects that nothing was asked about, since neither their manifest nor what is live of them moved.
    pub unmoved: usize,
    pub images: Vec<ImageChange>,
    /// Why the application could not be rendered or planned.
    pub error: Option<String>,
    /// Something to know besides, such as prunes that are withheld.
    pub notes: Vec<String>,
}

/// An image that the pull request moves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageChange {
    pub name: String,
    pub from: Option<ImageRef>,
    pub to: Option<ImageRef>,
    /// What changed in the source between the two, as far as it was announced from which commits they were built: words
    /// and address.
    pub source: Option<(String, String)>,
}

/// Where the source of an image that moves can be compared. `announced`: every candidate that is remembered. `web`: the
/// address that GitHub's repositories are under.
pub fn source_of(
    change: &ImageChange,
    announced: &[Candidate],
    web: &str,
) -> Option<(String, String)> {
    let of = |image: &Option<ImageRef>| {
        let digest = image.as_ref()?.digest.as_ref()?;
        announced
            .iter()
            .rfind(|candidate| candidate.digest == *digest)
    };
    let to = of(&change.to)?;
    Some(
        match of(&change.from).filter(|from| from.source == to.source && from.commit != to.commit) {
            Some(from) => (
                format!(
                    "{}…{}",
                    &from.commit.as_str()[..7],
                    &to.commit.as_str()[..7]
                ),
                format!(
                    "{web}/{}/compare/{}...{}",
                    to.source, from.commit, to.commit
                ),
            ),
            None => (
                to.commit.as_str()[..7].to_string(),
                format!("{web}/{}/commit/{}", to.source, to.commit),
            ),
        },
    )
}

impl Preview {
    /// Whether what is shown can be applied.
    pub fn ok(&self) -> bool {
        self.failure.is_none()
            && self
                .applications
                .iter()
                .all(|app| app.error.is_none() && app.plan.problems().next().is_none())
    }

    /// The plan digest over all applications.
    pub fn digest(&self) -> String {
        plan::digest(
            self.applications
                .iter()
                .map(|app| (app.cluster.as_str(), &app.plan)),
        )
    }

    /// The identity that the check run carries: a preview with the same one need not be published again.
    pub fn id(&self) -> String {
        format!(
            "{} {} {}",
            self.digest(),
            self.base,
            if self.ok() { "ok" } else { "failed" }
        )
    }
}

/// The images that two renderings differ in: what a container ran before and what it runs now, each pair once. Containers
/// that are on one side only are paired by the image's name, in their order. An image that runs elsewhere on both sides is
/// neither new nor gone.
pub fn image_changes(base: &[(String, ImageRef)], head: &[(String, ImageRef)]) -> Vec<ImageChange> {
    let of = |all: &[(String, ImageRef)], name: &str| -> BTreeMap<String, ImageRef> {
        all.iter()
            .filter(|(_, image)| image.name == name)
            .cloned()
            .collect()
    };
    let names: BTreeSet<_> = base
        .iter()
        .chain(head)
        .map(|(_, image)| image.name.as_str())
        .collect();
    let mut changes = Vec::new();
    for name in names {
        let (before, after) = (of(base, name), of(head, name));
        let mut pairs: Vec<_> = before
            .iter()
            .filter_map(|(at, from)| Some((Some(from), Some(after.get(at)?))))
            .filter(|(from, to)| from != to)
            .collect();
        let gone: Vec<_> = before
            .iter()
            .filter(|(at, _)| !after.contains_key(*at))
            .map(|(_, image)| image)
            .collect();
        let new: Vec<_> = after
            .iter()
            .filter(|(at, _)| !before.contains_key(*at))
            .map(|(_, image)| image)
            .collect();
        let alone =
            (0..gone.len().max(new.len())).map(|at| (gone.get(at).copied(), new.get(at).copied()));
        pairs.extend(alone.filter(|pair| match pair {
            (Some(_), None) => after.is_empty(),
            (None, Some(to)) => !before.values().any(|known| known == *to),
            (from, to) => from != to,
        }));
        for (from, to) in pairs {
            let change = ImageChange {
                name: name.into(),
                from: from.cloned(),
                to: to.cloned(),
                source: None,
            };
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
    }
    changes
}

/// How far a merged pull request has come in one application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub key: ApplicationKey,
    pub state: ProgressState,
    pub message: String,
    /// What passes by itself: for the commit's status, not for the comment.
    pub detail: String,
}

/// One word for where a commit stands in an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressState {
    /// Not looked at yet.
    Waiting,
    Syncing,
    Progressing,
    Healthy,
    Failed,
    /// Healthy, but it is not proven that what runs is what was announced.
    Unproven,
    /// The cluster cannot be reached: nothing is known.
    Stale,
    /// A newer commit changed the same application.
    Superseded,
    /// It had failed when a newer commit changed the same application.
    FailedBefore,
    /// The commit took the application out of Git: its objects wait to be deleted.
    Leaving,
    /// Nothing of such an application is left.
    Gone,
}

impl ProgressState {
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Healthy | Self::Superseded | Self::FailedBefore | Self::Gone
        )
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Syncing => "syncing",
            Self::Progressing => "synced, progressing",
            Self::Healthy => "synced, healthy",
            Self::Failed => "failed",
            Self::Unproven => "healthy, unproven",
            Self::Stale => "not known",
            Self::Superseded => "superseded",
            Self::FailedBefore => "failed, then superseded",
            Self::Leaving => "left Git",
            Self::Gone => "gone",
        }
    }
}

/// The newest commit that changed an application, as windlass last saw it, seen from another commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Windlass has not come to the commit yet.
    Before,
    At,
    /// A newer commit changed the application again.
    After,
}

/// How an application stands: its status, less what only its own loop needs.
#[derive(Debug, Clone)]
pub struct Stand {
    pub revision: Option<CommitSha>,
    /// Digest of what that revision renders from.
    pub inputs: Option<String>,
    pub sync: SyncState,
    pub health: Health,
    pub blocked: bool,
    pub message: Option<String>,
    /// A code of [`crate::domain::sync::Reason`].
    pub reason: Option<String>,
    /// Deletions wait for a confirmation.
    pub confirm: bool,
    pub unproven: Option<String>,
    pub images: Vec<ImageRef>,
    /// Revisions whose sync failed, each with the first reason.
    pub failures: Vec<FailedSync>,
}

/// A revision that failed and never became healthy.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
pub struct FailedSync {
    pub revision: CommitSha,
    /// The first reason: what is said later is less precise.
    pub why: String,
}

/// Failed revisions that an application remembers.
const MOST_FAILURES: usize = 10;

/// Notes how it stands with a revision: what failed stays noted when another revision takes its place.
pub fn note_failure(failures: &mut Vec<FailedSync>, revision: &CommitSha, failing: Option<&str>) {
    match failing {
        None => failures.retain(|known| known.revision != *revision),
        Some(_) if failures.iter().any(|known| known.revision == *revision) => {}
        Some(why) => {
            failures.push(FailedSync {
                revision: revision.clone(),
                why: shortened(why, 500),
            });
            failures.drain(..failures.len().saturating_sub(MOST_FAILURES));
        }
    }
}

impl Default for Stand {
    fn default() -> Self {
        Self {
            revision: None,
            inputs: None,
            sync: SyncState::Unknown,
            health: Health::Unknown,
            blocked: false,
            message: None,
            reason: None,
            confirm: false,
            unproven: None,
            images: Vec::new(),
            failures: Vec::new(),
        }
    }
}

/// Where an application stands for a commit.
pub fn progress(position: Position, stand: &Stand) -> ProgressState {
    match position {
        // Windlass cannot come to it while the cluster cannot be looked at.
        Position::Before if stand.revision.is_some() && stand.sync == SyncState::Unknown => {
            ProgressState::Stale
        }
        Position::Before => ProgressState::Waiting,
        Position::After => ProgressState::Superseded,
        Position::At if stand.blocked => ProgressState::Failed,
        Position::At => match (stand.sync, stand.health) {
            // Git and the cluster agree but for what somebody has to confirm.
            (SyncState::Synced, Health::Healthy | Health::Suspended) if stand.confirm => {
                ProgressState::Progressing
            }
            (SyncState::Synced, Health::Healthy | Health::Suspended)
                if stand.unproven.is_some() =>
            {
                ProgressState::Unproven
            }
            (SyncState::Synced, Health::Healthy | Health::Suspended) => ProgressState::Healthy,
            (SyncState::Synced, Health::Degraded) => ProgressState::Failed,
            (SyncState::Synced, _) => ProgressState::Progressing,
            (SyncState::Unknown, _) => ProgressState::Stale,
            _ => ProgressState::Syncing,
        },
    }
}

/// A comment with commands that has no answer of ours.
#[derive(Debug, Clone)]
pub struct Ask {
    pub comment: u64,
    pub author: String,
    pub permission: Permission,
    pub lines: Vec<Line>,
    /// Our reaction is there.
    pub acknowledged: bool,
    /// The text was edited after it was posted: GitHub does not tell by whom.
    pub edited: bool,
    /// It was seen long ago, or answered, and the answer is not there: whether it was carried out is not known.
    pub interrupted: bool,
}

/// A comment of ours as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Without its marker.
    pub text: String,
    /// A digest of what the text says, less times.
    pub fingerprint: String,
    /// It tells the end of the story.
    pub last: bool,
}

/// The sticky comment as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    pub id: u64,
    pub fingerprint: String,
    /// Nobody edited it but us.
    pub intact: bool,
}

#[derive(Debug, Clone)]
pub struct Seen {
    /// The head has a green verdict, and the pull request is not open any more.
    pub retire: bool,
    pub asks: Vec<Ask>,
    /// Somebody edited our comment, and the thread does not say so yet.
    pub tampered: bool,
    /// The sticky comment as it should be; None when it should be left as it is.
    pub wanted: Option<Wanted>,
    pub sticky: Option<Sticky>,
    /// The identity of the preview as it is now, and as the head's check run has it.
    pub preview: Option<String>,
    pub published: Option<String>,
    pub verdict: Option<Verdict>,
    pub permit: Option<MergePermit>,
    /// State and title of the head's check run `windlass/gate`.
    pub gate: Option<(String, String)>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Says that somebody edited our comment.
    TellTampered,
    /// Takes the verdict of a head back that no open pull request has.
    RetireGate,
    PostSticky(Wanted),
    EditSticky {
        id: u64,
        wanted: Wanted,
    },
    PublishCheck,
    SetGate {
        state: &'static str,
        description: String,
    },
    /// Carries out the commands of this comment and answers it.
    Answer {
        comment: u64,
    },
    Merge(MergePermit),
}

pub fn decide(seen: &Seen) -> Vec<Step> {
    let mut steps = Vec::new();
    // First: once it is written anew nothing tells of the edit any more.
    if seen.tampered {
        steps.push(Step::TellTampered);
    }
    if seen.retire {
        steps.push(Step::RetireGate);
    }
    if let Some(wanted) = &seen.wanted {
        match &seen.sticky {
            None => steps.push(Step::PostSticky(wanted.clone())),
            Some(sticky) if sticky.fingerprint != wanted.fingerprint || !sticky.intact => {
                steps.push(Step::EditSticky {
                    id: sticky.id,
                    wanted: wanted.clone(),
                });
            }
            Some(_) => {}
        }
    }
    let unpublished = seen.preview.is_some() && seen.preview != seen.published;
    if unpublished {
        steps.push(Step::PublishCheck);
    }
    // The verdict counts approvals from the preview's completion on: it is decided on the next look.
    if let Some(verdict) = &seen.verdict
        && !unpublished
    {
        let (state, description) = gate_status(verdict);
        if seen
            .gate
            .as_ref()
            .is_none_or(|(was, text)| was != state || *text != description)
        {
            steps.push(Step::SetGate { state, description });
        }
    }
    // A merge does not wait for answers, nor for an answer that GitHub does not take.
    steps.extend(seen.asks.iter().map(|ask| Step::Answer {
        comment: ask.comment,
    }));
    if let Some(permit) = &seen.permit
        && !unpublished
    {
        steps.push(Step::Merge(permit.clone()));
    }
    steps
}

/// The check run of a verdict, in three words, and its title.
pub fn gate_status(verdict: &Verdict) -> (&'static str, String) {
    let state = match verdict.standing {
        Standing::Green => "success",
        Standing::Waiting => "pending",
        Standing::Blocked => "failure",
    };
    (state, shortened(&verdict.reason, 140))
}

/// At most `most` characters, with an ellipsis where some were cut.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen {
            retire: false,
            asks: vec![],
            tampered: false,
            wanted: Some(Wanted {
                text: "b".into(),
                fingerprint: "f".into(),
                last: false,
            }),
            sticky: None,
            preview: Some("p".into()),
            published: None,
            verdict: Some(Verdict {
                gate: "merge",
                standing: Standing::Waiting,
                reason: "r".into(),
                children: vec![],
            }),
            permit: None,
            gate: None,
        }
    }

    #[test]
    fn nothing_is_left_to_do_once_it_is_done() {
        let first = decide(&seen());
        assert!(
            matches!(first[..], [Step::PostSticky(_), Step::PublishCheck]),
            "{first:?}"
        );
        let sticky = Some(Sticky {
            id: 1,
            fingerprint: "f".into(),
            intact: true,
        });
        let second = decide(&Seen {
            sticky: sticky.clone(),
            published: Some("p".into()),
            ..seen()
        });
        assert!(
            matches!(
                second[..],
                [Step::SetGate {
                    state: "pending",
                    ..
                }]
            ),
            "{second:?}"
        );
        let gate = Some(("pending".into(), "r".into()));
        let rests = Seen {
            sticky,
            published: Some("p".into()),
            gate,
            ..seen()
        };
        assert_eq!(decide(&rests), []);
        let edited = Some(Sticky {
            id: 1,
            fingerprint: "f".into(),
            intact: false,
        });
        let steps = decide(&Seen {
            sticky: edited,
            tampered: true,
            ..rests
        });
        assert!(
            matches!(
                steps[..],
                [Step::TellTampered, Step::EditSticky { id: 1, .. }]
            ),
            "{steps:?}"
        );
    }

    #[test]
    fn progress_follows_the_newest_commit() {
        use ProgressState::*;
        let stand = |sync, health| Stand {
            sync,
            health,
            ..Stand::default()
        };
        let healthy = stand(SyncState::Synced, Health::Healthy);
        let seen = Some("1".repeat(40).parse().unwrap());
        let table = [
            (Position::Before, healthy.clone(), Waiting),
            (
                Position::Before,
                Stand {
                    revision: seen,
                    ..Stand::default()
                },
                Stale,
            ),
            (Position::After, healthy.clone(), Superseded),
            (Position::At, healthy.clone(), Healthy),
            (
                Position::At,
                Stand {
                    confirm: true,
                    ..healthy.clone()
                },
                Progressing,
            ),
            (
                Position::At,
                Stand {
                    unproven: Some("why".into()),
                    ..healthy.clone()
                },
                Unproven,
            ),
            (
                Position::At,
                stand(SyncState::Synced, Health::Progressing),
                Progressing,
            ),
            (
                Position::At,
                stand(SyncState::OutOfSync, Health::Healthy),
                Syncing,
            ),
            (
                Position::At,
                Stand {
                    blocked: true,
                    ..stand(SyncState::OutOfSync, Health::Healthy)
                },
                Failed,
            ),
            (
                Position::At,
                stand(SyncState::Synced, Health::Degraded),
                Failed,
            ),
            (
                Position::At,
                stand(SyncState::Unknown, Health::Healthy),
                Stale,
            ),
        ];
        for (position, stand, expected) in table {
            assert_eq!(progress(position, &stand), expected, "{stand:?}");
        }
    }

    #[test]
    fn images_are_told_by_what_containers_ran_and_run() {
        // `a1`: container a runs tag 1.
        let images = |all: &str| -> Vec<(String, ImageRef)> {
            all.split_whitespace()
                .map(|one| {
                    (
                        one[..1].to_string(),
                        format!("app:{}", &one[1..]).parse().unwrap(),
                    )
                })
                .collect()
        };
        let table = [
            ("a1 b1 c1", "a2 b2 c2", "1>2"),
            ("a1 b1 c1", "a2 b1 c1", "1>2"),
            ("a1 b1 c3", "a2 b2 c4", "1>2 3>4"),
            ("a1 b3", "b4", "3>4"),
            ("a1 b1", "a1", ""),
            ("a1", "a1 b1", ""),
            ("a1", "a1 b2", "->2"),
            ("a1", "b2", "1>2"),
            ("a1 b1", "c2", "1>2"),
            ("a1", "", "1>-"),
            ("", "a1", "->1"),
        ];
        for (before, after, expected) in table {
            let tag = |image: &Option<ImageRef>| {
                image
                    .as_ref()
                    .map_or("-".into(), |image| image.tag.as_ref().unwrap().to_string())
            };
            let found = image_changes(&images(before), &images(after));
            let found: Vec<_> = found
                .iter()
                .map(|change| format!("{}>{}", tag(&change.from), tag(&change.to)))
                .collect();
            assert_eq!(found.join(" "), expected, "{before} to {after}");
        }
    }

    #[test]
    fn long_reasons_fit_a_status() {
        assert_eq!(shortened(&"é".repeat(200), 140).chars().count(), 140);
        assert_eq!(shortened("short", 140), "short");
    }
}
