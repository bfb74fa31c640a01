//! What stands between a pull request and its merge.
//!
//! [`evaluate`] turns the facts of one pull request into a [`Verdict`]: a tree
//! whose leaves explain. Only this module makes a [`MergePermit`], and the
//! permit carries the head that it is for; the merge call sends that head.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::CommitSha;
use super::approvals::{Case, Review, Writers};

/// How one gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Green,
    /// Something has yet to happen.
    Waiting,
    /// Somebody has to change something.
    Blocked,
}

/// One gate, or the verdict over all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub gate: &'static str,
    pub standing: Standing,
    pub reason: String,
    pub children: Vec<Verdict>,
}

/// The right to merge one head of one pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergePermit {
    head: CommitSha,
}

impl MergePermit {
    pub fn head(&self) -> &CommitSha {
        &self.head
    }
}

/// Who opened the pull request, and whether it is still what was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Ours, and its tree is the recomputed edit.
    Ours,
    /// Opened by us; somebody added to it.
    OursChanged,
    People,
}

/// The preview of this very head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewFact {
    pub completed_at: Timestamp,
    /// Whether the change can be applied.
    pub ok: bool,
    /// How many changes it does not show, and whether somebody who may approve took that upon himself.
    pub unseen: usize,
    pub unseen_accepted: bool,
}

/// What a stage that the pull request touches asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagePolicy {
    pub title: String,
    /// `merge: auto` stands and it asks for no approval.
    pub auto: bool,
    pub approvals: u32,
    /// Whose approvals count, in small letters, of those who gave one; None: whoever may write to the repository.
    pub approvers: Option<BTreeSet<String>>,
}

/// A stage that what is promoted has to be healthy in first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    pub stage: String,
    /// Why it is not healthy there with just these digests.
    pub lacks: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Facts {
    pub head: CommitSha,
    pub origin: Origin,
    pub writers: Writers,
    pub draft: bool,
    /// The policy of each (application, stage) that is touched: as the base has it, and where `windlass.yaml` changes what
    /// it means, also as the head has it.
    pub stages: Vec<StagePolicy>,
    /// A file outside every application's inputs, or `windlass.yaml`.
    pub touches_unmanaged: Option<String>,
    /// Files that head and base both changed, incompatibly.
    pub conflicts: Vec<String>,
    pub preview: Option<PreviewFact>,
    /// Of a pull request that promotes: the stages that come before.
    pub earlier: Vec<Earlier>,
    /// Why somebody has to want just this, also where merging is automatic: it goes back in time.
    pub doubt: Option<String>,
    /// The last opinion of each reviewer.
    pub reviews: Vec<Review>,
    /// Why GitHub refused our last try to merge this head.
    pub refused: Option<String>,
}

/// The verdict, and a permit when windlass may merge now.
pub fn evaluate(facts: &Facts) -> (Verdict, Option<MergePermit>) {
    let mut gates = vec![preview_gate(facts), approval_gate(facts)];
    if !facts.earlier.is_empty() {
        gates.push(earlier_gate(facts));
    }
    if !facts.conflicts.is_empty() {
        let files = facts.conflicts.join(", ");
        gates.push(leaf(
            "conflicts",
            Standing::Blocked,
            format!("conflicts with the base branch in {files}: update the branch"),
        ));
    }
    if facts.draft {
        gates.push(leaf(
            "draft",
            Standing::Blocked,
            "is a draft: mark it as ready for review".into(),
        ));
    }
    if let Some(why) = &facts.refused {
        gates.push(leaf(
            "GitHub",
            Standing::Blocked,
            format!("GitHub refused the merge: {why}"),
        ));
    }
    let worst = gates
        .iter()
        .map(|gate| gate.standing)
        .max()
        .unwrap_or(Standing::Green);
    let reason = match (worst, facts.origin) {
        (Standing::Green, Origin::OursChanged) => {
            "all gates are green: somebody added to windlass's commit, so a person merges it".into()
        }
        (Standing::Green, Origin::People) => {
            "all gates are green: ready to be merged by a person".into()
        }
        (Standing::Green, _) => "all gates are green: windlass merges this head".into(),
        _ => gates
            .iter()
            .filter(|gate| gate.standing == worst)
            .map(|gate| gate.reason.as_str())
            .collect::<Vec<_>>()
            .join("; "),
    };
    let permit = (worst == Standing::Green && facts.origin == Origin::Ours).then(|| MergePermit {
        head: facts.head.clone(),
    });
    (
        Verdict {
            gate: "merge",
            standing: worst,
            reason,
            children: gates,
        },
        permit,
    )
}

fn leaf(gate: &'static str, standing: Standing, reason: String) -> Verdict {
    Verdict {
        gate,
        standing,
        reason,
        children: Vec::new(),
    }
}

fn preview_gate(facts: &Facts) -> Verdict {
    match &facts.preview {
        None => leaf(
            "preview",
            Standing::Waiting,
            "the preview of this head is not made yet".into(),
        ),
        Some(PreviewFact { ok: false, .. }) => leaf(
            "preview",
            Standing::Blocked,
            "the preview failed: see its check run for what to mend".into(),
        ),
        Some(PreviewFact {
            unseen,
            unseen_accepted: false,
            ..
        }) if *unseen > 0 => leaf(
            "preview",
            Standing::Waiting,
            format!(
                "{unseen} changes do not fit into the preview: split the pull request, or read them with `windlass plan` and write /accept-unseen"
            ),
        ),
        Some(_) => leaf(
            "preview",
            Standing::Green,
            format!("the preview of {} is made", facts.head.short()),
        ),
    }
}

fn approval_gate(facts: &Facts) -> Verdict {
    let gate = "approvals";
    if let Some(review) = facts
        .reviews
        .iter()
        .find(|review| !review.approves && review.writer)
    {
        return leaf(
            gate,
            Standing::Blocked,
            format!("{} asks for changes", review.user),
        );
    }
    let demands = demands(facts);
    let strictest = demands.iter().max_by_key(|demand| demand.needed);
    let Some(strictest) = strictest.filter(|demand| demand.needed > 0) else {
        return leaf(
            gate,
            Standing::Green,
            strictest.map_or_else(|| NOTHING.into(), |demand| demand.because.clone()),
        );
    };
    let previewed_at = facts.preview.as_ref().map(|preview| preview.completed_at);
    let have = |demand: &Demand<'_>| demand.case(facts, previewed_at).approved_by(&facts.reviews);
    let lacking = demands
        .iter()
        .filter(|demand| (have(demand).len() as u32) < demand.needed)
        .max_by_key(|demand| demand.needed);
    let Some(lacking) = lacking else {
        return leaf(
            gate,
            Standing::Green,
            format!(
                "approved by {} ({})",
                have(strictest).join(", "),
                strictest.because
            ),
        );
    };
    let mut reason = format!(
        "{} of {} approvals ({})",
        have(lacking).len(),
        lacking.needed,
        lacking.because
    );
    for review in facts.reviews.iter().filter(|review| review.approves) {
        if let Err(why) = lacking.case(facts, previewed_at).counts(review) {
            reason.push_str(&format!("; {}'s does not count: {why}", review.user));
        }
    }
    leaf(gate, Standing::Waiting, reason)
}

/// Why somebody's word for what the preview does not show does not count: who gives it must be one who may approve for
/// every stage. None: it counts.
pub fn unseen_refusal(facts: &Facts, user: &str, writer: bool) -> Option<String> {
    demands(facts)
        .iter()
        .find_map(|demand| demand.case(facts, None).may_approve(user, writer).err())
        .map(|why| why.to_string())
}

fn earlier_gate(facts: &Facts) -> Verdict {
    let gate = "earlier stages";
    let lacking: Vec<_> = facts
        .earlier
        .iter()
        .filter_map(|one| Some(format!("{}: {}", one.stage, one.lacks.as_ref()?)))
        .collect();
    if !lacking.is_empty() {
        return leaf(gate, Standing::Waiting, lacking.join("; "));
    }
    let names: Vec<_> = facts.earlier.iter().map(|one| one.stage.as_str()).collect();
    leaf(
        gate,
        Standing::Green,
        format!("{} healthy with just these digests", names.join(", ")),
    )
}

const NOTHING: &str = "nothing that windlass manages changes";

/// So many approvals, for this reason, by these.
struct Demand<'a> {
    needed: u32,
    because: String,
    approvers: Option<&'a BTreeSet<String>>,
}

impl<'a> Demand<'a> {
    fn case(&self, facts: &'a Facts, previewed_at: Option<Timestamp>) -> Case<'a> {
        Case {
            head: &facts.head,
            previewed_at,
            writers: &facts.writers,
            approvers: self.approvers,
        }
    }
}

/// What each stage asks for, and what is asked of anybody.
fn demands(facts: &Facts) -> Vec<Demand<'_>> {
    let floor = match facts.origin {
        Origin::OursChanged => Some("somebody added to windlass's commit".to_string()),
        Origin::People | Origin::Ours if facts.touches_unmanaged.is_some() => facts
            .touches_unmanaged
            .as_ref()
            .map(|file| format!("`{file}` belongs to no application")),
        Origin::People if facts.stages.is_empty() => None,
        Origin::People => Some("a person's change needs a review".into()),
        Origin::Ours => facts.doubt.clone(),
    };
    fn of<'a>(
        StagePolicy {
            title,
            auto,
            approvals,
            approvers,
        }: &'a StagePolicy,
        floor: Option<&String>,
    ) -> Demand<'a> {
        let (needed, because) = match (*approvals, *auto) {
            // Also where nothing is asked of windlass's own: by the stage's approvers, where it names some.
            (0, true) if floor.is_some() => (1, floor.cloned().unwrap_or_default()),
            (0, true) => (0, format!("{title} merges image updates automatically")),
            (0, false) => (1, format!("{title} does not say `merge: auto`")),
            (some, _) => (some, format!("{title} asks for {some}")),
        };
        Demand {
            needed,
            because,
            approvers: approvers.as_ref(),
        }
    }
    let mut demands: Vec<_> = facts
        .stages
        .iter()
        .map(|stage| of(stage, floor.as_ref()))
        .collect();
    // What a stage asks for by its own words is told rather than what is asked of anybody.
    if let Some(because) = floor
        && demands.iter().all(|demand| demand.needed == 0)
    {
        demands.push(Demand {
            needed: 1,
            because,
            approvers: None,
        });
    }
    demands
}

#[cfg(test)]
mod tests {
    use super::super::approvals::Doubt;
    use super::*;

    fn facts() -> Facts {
        Facts {
            head: "a".repeat(40).parse().unwrap(),
            origin: Origin::Ours,
            writers: Writers::known([]),
            draft: false,
            stages: vec![StagePolicy {
                title: "shop/production".into(),
                auto: false,
                approvals: 1,
                approvers: None,
            }],
            earlier: vec![],
            doubt: None,
            touches_unmanaged: None,
            conflicts: vec![],
            preview: Some(PreviewFact {
                completed_at: "2026-01-01T10:00:00Z".parse().unwrap(),
                ok: true,
                unseen: 0,
                unseen_accepted: false,
            }),
            reviews: vec![Review {
                user: "bob".into(),
                approves: true,
                commit: Some("a".repeat(40).parse().unwrap()),
                submitted_at: "2026-01-01T10:00:00Z".parse().unwrap(),
                writer: true,
            }],
            refused: None,
        }
    }

    fn auto() -> Facts {
        Facts {
            reviews: vec![],
            stages: vec![StagePolicy {
                title: "shop/staging".into(),
                auto: true,
                approvals: 0,
                approvers: None,
            }],
            ..facts()
        }
    }

    /// One mutation of a good fixture each.
    #[test]
    fn a_permit_needs_every_gate() {
        type Mutation = (&'static str, fn(&mut Facts), &'static str);
        let table: [Mutation; 14] = [
            ("no preview", |f| f.preview = None, "not made yet"),
            (
                "failed preview",
                |f| f.preview.as_mut().unwrap().ok = false,
                "the preview failed",
            ),
            (
                "no review",
                |f| f.reviews.clear(),
                "0 of 1 approvals (shop/production asks for 1)",
            ),
            (
                "reader",
                |f| f.reviews[0].writer = false,
                "they may not write",
            ),
            (
                "old head",
                |f| f.reviews[0].commit = Some("b".repeat(40).parse().unwrap()),
                "on an older commit",
            ),
            (
                "too early",
                |f| f.reviews[0].submitted_at = "2026-01-01T09:59:59Z".parse().unwrap(),
                "before the preview",
            ),
            (
                "writer",
                |f| f.writers = Writers::known(["bob".into()]),
                "wrote or pushed a commit of it",
            ),
            (
                "unknown",
                |f| f.writers = Writers::Unknown(Doubt::Fork),
                "in a fork",
            ),
            (
                "others approve",
                |f| f.stages[0].approvers = Some(["mia".to_string()].into()),
                "not among the stage's approvers",
            ),
            (
                "another stage",
                |f| {
                    f.stages.push(StagePolicy {
                        title: "b/c".into(),
                        approvals: 2,
                        ..f.stages[0].clone()
                    })
                },
                "1 of 2",
            ),
            (
                "unseen",
                |f| f.preview.as_mut().unwrap().unseen = 2,
                "2 changes do not fit",
            ),
            (
                "earlier",
                |f| {
                    f.earlier = vec![Earlier {
                        stage: "staging".into(),
                        lacks: Some("runs 1.0.0".into()),
                    }]
                },
                "staging: runs 1.0.0",
            ),
            (
                "changes",
                |f| f.reviews[0].approves = false,
                "bob asks for changes",
            ),
            ("draft", |f| f.draft = true, "is a draft"),
        ];
        assert!(evaluate(&facts()).1.is_some());
        for (name, mutate, reason) in table {
            let mut facts = facts();
            mutate(&mut facts);
            let (verdict, permit) = evaluate(&facts);
            assert!(permit.is_none(), "{name}");
            assert!(
                verdict.reason.contains(reason),
                "{name}: {}",
                verdict.reason
            );
        }
    }

    #[test]
    fn auto_needs_no_review_until_somebody_adds_to_it() {
        assert!(evaluate(&auto()).1.is_some());
        for origin in [Origin::OursChanged, Origin::People] {
            let (verdict, permit) = evaluate(&Facts { origin, ..auto() });
            assert!(permit.is_none(), "{}", verdict.reason);
        }
        assert!(
            evaluate(&Facts {
                touches_unmanaged: Some("windlass.yaml".into()),
                ..auto()
            })
            .1
            .is_none()
        );
        let back = Facts {
            doubt: Some("a step back".into()),
            ..auto()
        };
        let (verdict, permit) = evaluate(&back);
        assert_eq!(
            (verdict.reason.as_str(), permit),
            ("0 of 1 approvals (a step back)", None)
        );
        assert!(
            evaluate(&Facts {
                reviews: facts().reviews,
                ..back
            })
            .1
            .is_some(),
            "somebody wants it"
        );
        let both = Facts {
            stages: [auto().stages, facts().stages].concat(),
            ..auto()
        };
        assert!(evaluate(&both).1.is_none(), "the strictest gate counts");
    }

    #[test]
    fn peoples_pull_requests_are_merged_by_people() {
        let (verdict, permit) = evaluate(&Facts {
            origin: Origin::People,
            ..facts()
        });
        assert_eq!((verdict.standing, permit), (Standing::Green, None));
    }
}
