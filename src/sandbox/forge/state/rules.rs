//! What a ruleset demands of branches, and what waits in a merge queue.

use jiff::Timestamp;

/// A rule for branches, as a ruleset would give it. Each demand is one of GitHub's rules
/// (`repository-rule-*` in its OpenAPI description) and none holds by default.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// A branch's name, or `~ALL`.
    pub branch: String,
    /// A pull request is required; every demand on pull requests below implies it.
    pub pull_request: bool,
    /// `required_approving_review_count`.
    pub approvals: usize,
    pub dismiss_stale_reviews_on_push: bool,
    /// By the CODEOWNERS file of the base branch.
    pub require_code_owner_review: bool,
    pub require_last_push_approval: bool,
    pub required_review_thread_resolution: bool,
    /// Empty: all three.
    pub allowed_merge_methods: Vec<MergeMethod>,
    pub required_linear_history: bool,
    pub status_checks: Vec<RequiredCheck>,
    /// `strict_required_status_checks_policy`: a head must contain its base's tip.
    pub strict: bool,
    /// Changes go through a merge queue, which merges by this method.
    pub merge_queue: Option<MergeMethod>,
    pub restrict_creation: bool,
    pub restrict_update: bool,
    pub restrict_deletion: bool,
    /// `non_fast_forward`: no force pushes.
    pub non_fast_forward: bool,
}

/// A status or a check run that must be green.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredCheck {
    pub context: String,
    /// The id of the App whose word alone counts.
    pub integration_id: Option<u64>,
}

impl From<&str> for RequiredCheck {
    fn from(context: &str) -> Self {
        Self {
            context: context.into(),
            integration_id: None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MergeMethod {
    #[default]
    Merge,
    Squash,
    Rebase,
}

impl MergeMethod {
    pub const ALL: [Self; 3] = [Self::Merge, Self::Squash, Self::Rebase];

    /// As REST names it; GraphQL and the rule `merge_queue` name it in capitals.
    pub fn name(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Squash => "squash",
            Self::Rebase => "rebase",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

impl Rule {
    pub fn holds_for(&self, branch: &str) -> bool {
        self.branch == "~ALL" || self.branch == branch
    }

    /// Whether changes must come by a pull request.
    pub fn wants_pull_request(&self) -> bool {
        self.pull_request
            || self.approvals > 0
            || self.dismiss_stale_reviews_on_push
            || self.require_code_owner_review
            || self.require_last_push_approval
            || self.required_review_thread_resolution
            || !self.allowed_merge_methods.is_empty()
    }

    pub fn allows(&self, method: MergeMethod) -> bool {
        self.allowed_merge_methods.is_empty() || self.allowed_merge_methods.contains(&method)
    }
}

/// A pull request in a merge queue.
#[derive(Clone, Debug)]
pub struct QueueEntry {
    pub id: u64,
    /// The pull request's.
    pub number: u64,
    /// Where its head was when it was queued.
    pub head: String,
    pub base: String,
    pub enqueuer: String,
    pub jump: bool,
    pub at: Timestamp,
    /// What is tested; None until it is built.
    pub group: Option<MergeGroup>,
}

/// A commit that a base branch would be at, were the pull request merged after those before it in
/// the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeGroup {
    /// `gh-readonly-queue/{base}/pr-{number}-{base_sha}`.
    pub branch: String,
    pub head_sha: String,
    pub base_sha: String,
}
