//! What stands between a pull request and its merge.
//!
//! [`evaluate`] turns the facts of one pull request into a [`Verdict`]: a tree
//! whose leaves explain. Only this module makes a [`MergePermit`], and the
//! permit carries the head that it is for; the merge call sends that head.

use jiff::Timestamp;

use super::CommitSha;

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

/// An approving review, or a request for changes, that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    pub user: String,
    pub approves: bool,
    pub commit: Option<CommitSha>,
    pub submitted_at: Timestamp,
    /// Whether the reviewer may write to the repository.
    pub writer: bool,
}

/// The preview of this very head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewFact {
    pub completed_at: Timestamp,
    /// Whether the change can be applied.
    pub ok: bool,
}

/// What a stage that the pull request touches asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagePolicy {
    pub title: String,
    /// `merge: auto` stands and it asks for no approval.
    pub auto: bool,
    pub approvals: u32,
}

#[derive(Debug, Clone)]
pub struct Facts {
    pub head: CommitSha,
    pub origin: Origin,
    pub author: String,
    pub draft: bool,
    /// The policy of each (application, stage) that is touched, from the base branch.
    pub stages: Vec<StagePolicy>,
    /// A file outside every application's inputs, or `windlass.yaml`.
    pub touches_unmanaged: Option<String>,
    /// Files that head and base both changed, incompatibly.
    pub conflicts: Vec<String>,
    pub preview: Option<PreviewFact>,
    /// The last opinion of each reviewer.
    pub reviews: Vec<Review>,
    /// Why GitHub refused our last try to merge this head.
    pub refused: Option<String>,
}

/// The verdict, and a permit when windlass may merge now.
pub fn evaluate(facts: &Facts) -> (Verdict, Option<MergePermit>) {
    let mut gates = vec![preview_gate(facts), approval_gate(facts)];
    if !facts.conflicts.is_empty() {
        let files = facts.conflicts.join(", ");
        gates.push(leaf("conflicts", Standing::Blocked, format!("conflicts with the base branch in {files}: update the branch")));
    }
    if facts.draft {
        gates.push(leaf("draft", Standing::Blocked, "is a draft: mark it as ready for review".into()));
    }
    if let Some(why) = &facts.refused {
        gates.push(leaf("GitHub", Standing::Blocked, format!("GitHub refused the merge: {why}")));
    }
    let worst = gates.iter().map(|gate| gate.standing).max().unwrap_or(Standing::Green);
    let reason = match (worst, facts.origin) {
        (Standing::Green, Origin::People) => "all gates are green: ready to be merged by a person".into(),
        (Standing::Green, _) => "all gates are green: windlass merges this head".into(),
        _ => gates.iter().filter(|gate| gate.standing == worst).map(|gate| gate.reason.as_str()).collect::<Vec<_>>().join("; "),
    };
    let permit = (worst == Standing::Green && facts.origin != Origin::People).then(|| MergePermit { head: facts.head.clone() });
    (Verdict { gate: "merge", standing: worst, reason, children: gates }, permit)
}

fn leaf(gate: &'static str, standing: Standing, reason: String) -> Verdict {
    Verdict { gate, standing, reason, children: Vec::new() }
}

fn preview_gate(facts: &Facts) -> Verdict {
    match &facts.preview {
        None => leaf("preview", Standing::Waiting, "the preview of this head is not made yet".into()),
        Some(PreviewFact { ok: false, .. }) => {
            leaf("preview", Standing::Blocked, "the preview failed: see its check run for what to mend".into())
        }
        Some(_) => leaf("preview", Standing::Green, format!("the preview of {} is made", facts.head.short())),
    }
}

fn approval_gate(facts: &Facts) -> Verdict {
    let gate = "approvals";
    if let Some(review) = facts.reviews.iter().find(|review| !review.approves && review.writer) {
        return leaf(gate, Standing::Blocked, format!("{} asks for changes", review.user));
    }
    let (needed, because) = needed(facts);
    if needed == 0 {
        return leaf(gate, Standing::Green, because);
    }
    let mut counted = Vec::new();
    let mut passed_over = Vec::new();
    for review in facts.reviews.iter().filter(|review| review.approves) {
        match why_not(facts, review) {
            None => counted.push(review.user.as_str()),
            Some(why) => passed_over.push(format!("{}'s does not count: {why}", review.user)),
        }
    }
    let have = counted.len() as u32;
    if have >= needed {
        return leaf(gate, Standing::Green, format!("approved by {} ({because})", counted.join(", ")));
    }
    let mut reason = format!("{have} of {needed} approvals ({because})");
    if !passed_over.is_empty() {
        reason = format!("{reason}; {}", passed_over.join("; "));
    }
    leaf(gate, Standing::Waiting, reason)
}

/// How many approvals the strictest of all stages touched asks for, and why.
fn needed(facts: &Facts) -> (u32, String) {
    let floor = match facts.origin {
        Origin::OursChanged => Some("somebody added to windlass's commit".to_string()),
        Origin::People | Origin::Ours if facts.touches_unmanaged.is_some() => {
            facts.touches_unmanaged.as_ref().map(|file| format!("`{file}` belongs to no application"))
        }
        Origin::People if facts.stages.is_empty() => return (0, "nothing that windlass manages changes".into()),
        Origin::People => Some("a person's change needs a review".into()),
        Origin::Ours => None,
    };
    let strictest = facts.stages.iter().max_by_key(|stage| (stage.approvals, !stage.auto));
    let stage = match strictest {
        Some(stage) if stage.approvals > 0 => (stage.approvals, format!("{} asks for {}", stage.title, stage.approvals)),
        Some(stage) if stage.auto => (0, format!("{} merges image updates automatically", stage.title)),
        Some(stage) => (1, format!("{} does not say `merge: auto`", stage.title)),
        None => (0, "nothing that windlass manages changes".into()),
    };
    match floor {
        Some(because) if stage.0 < 1 => (1, because),
        _ => stage,
    }
}

/// An approval counts when a writer who is not the author gave it on this head, after the preview of this head.
fn why_not(facts: &Facts, review: &Review) -> Option<&'static str> {
    if review.user == facts.author {
        return Some("it is the author's own");
    }
    if !review.writer {
        return Some("they may not write to this repository");
    }
    if review.commit.as_ref() != Some(&facts.head) {
        return Some("it was given on an older commit");
    }
    match &facts.preview {
        Some(preview) if review.submitted_at >= preview.completed_at => None,
        _ => Some("it was given before the preview of this commit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            head: "a".repeat(40).parse().unwrap(),
            origin: Origin::Ours,
            author: "windlass[bot]".into(),
            draft: false,
            stages: vec![StagePolicy { title: "shop/production".into(), auto: false, approvals: 1 }],
            touches_unmanaged: None,
            conflicts: vec![],
            preview: Some(PreviewFact { completed_at: "2026-01-01T10:00:00Z".parse().unwrap(), ok: true }),
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
        Facts { reviews: vec![], stages: vec![StagePolicy { title: "shop/staging".into(), auto: true, approvals: 0 }], ..facts() }
    }

    /// One mutation of a good fixture each.
    #[test]
    fn a_permit_needs_every_gate() {
        type Mutation = (&'static str, fn(&mut Facts), &'static str);
        let table: [Mutation; 9] = [
            ("no preview", |f| f.preview = None, "not made yet"),
            ("failed preview", |f| f.preview.as_mut().unwrap().ok = false, "the preview failed"),
            ("no review", |f| f.reviews.clear(), "0 of 1 approvals (shop/production asks for 1)"),
            ("reader", |f| f.reviews[0].writer = false, "they may not write"),
            ("old head", |f| f.reviews[0].commit = Some("b".repeat(40).parse().unwrap()), "on an older commit"),
            ("too early", |f| f.reviews[0].submitted_at = "2026-01-01T09:59:59Z".parse().unwrap(), "before the preview"),
            ("author", |f| f.author = "bob".into(), "author's own"),
            ("changes", |f| f.reviews[0].approves = false, "bob asks for changes"),
            ("draft", |f| f.draft = true, "is a draft"),
        ];
        assert!(evaluate(&facts()).1.is_some());
        for (name, mutate, reason) in table {
            let mut facts = facts();
            mutate(&mut facts);
            let (verdict, permit) = evaluate(&facts);
            assert!(permit.is_none(), "{name}");
            assert!(verdict.reason.contains(reason), "{name}: {}", verdict.reason);
        }
    }

    #[test]
    fn auto_needs_no_review_until_somebody_adds_to_it() {
        assert!(evaluate(&auto()).1.is_some());
        for origin in [Origin::OursChanged, Origin::People] {
            let (verdict, permit) = evaluate(&Facts { origin, ..auto() });
            assert!(permit.is_none(), "{}", verdict.reason);
        }
        assert!(evaluate(&Facts { touches_unmanaged: Some("windlass.yaml".into()), ..auto() }).1.is_none());
        let both = Facts { stages: [auto().stages, facts().stages].concat(), ..auto() };
        assert!(evaluate(&both).1.is_none(), "the strictest gate counts");
    }

    #[test]
    fn peoples_pull_requests_are_merged_by_people() {
        let (verdict, permit) = evaluate(&Facts { origin: Origin::People, ..facts() });
        assert_eq!((verdict.standing, permit), (Standing::Green, None));
    }
}
