//! The preview of a head: made once, cached, and made again when something that it shows changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::forks::touches_nothing;
use crate::controller::cache::locked;
use crate::controller::preview::{self, Changes, GitDiff, Touched};
use crate::controller::resource_owners::{self, ResourceOwners};
use crate::controller::{Base, Environment, Error, Event, Reader, Result, side_by_side};
use crate::domain::catalog::{MergePolicy, Target};
use crate::domain::plan::Change;
use crate::domain::pull_request::{self, ApplicationPreview, Failure, Preview, TakenBack};
use crate::domain::{CommitSha, PullRequestKey, RepoName, TargetKey};
use crate::github::PullSnapshot;
use crate::render::Budget;
use crate::view::{self, PreviewText};

/// A preview and its text: every reconcile needs both, and the text of a large one takes a while.
pub struct ShownPreview {
    pub preview: Preview,
    pub text: PreviewText,
    /// What differs in Git between the base and this head.
    pub changes: Arc<Changes>,
    /// [`Preview::id`].
    pub id: String,
    /// When it was made.
    pub made: Instant,
    /// If something cannot be applied and may pass by itself: when the preview is made again, and
    /// after which pause.
    pub retry: Option<(Instant, Duration)>,
}

/// Pauses between two previews of a head that cannot be applied.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// For how long a preview shows what a merge would do.
const RECENT: Duration = Duration::from_secs(30);

impl ShownPreview {
    /// Whether the cluster may be another one by now: before a merge it is asked once more.
    pub fn is_old(&self) -> bool {
        self.made.elapsed() > RECENT
    }

    /// Whether it is due to be made again.
    fn is_due(&self) -> bool {
        self.retry.is_some_and(|(at, _)| at <= Instant::now())
    }

    /// The bytes that it takes, approximately: its text, and the objects that it was made from.
    pub fn size(&self) -> usize {
        let objects: usize = self
            .preview
            .applications
            .iter()
            .map(|app| app.plan.changes.len() + app.drift.changes.len() + app.waiting.changes.len())
            .sum();
        objects * (16 << 10)
            + 4 * (self.text.body.len()
                + self.text.text.len()
                + self.text.pages.iter().map(String::len).sum::<usize>())
            + 4096
    }
}

/// Whether two previews have the same plan digest and outcome: if the base moves without changing
/// them, approvals stay.
pub fn same_effect(a: &str, b: &str) -> bool {
    let effect = |id: &str| {
        (
            id.split(' ').next().map(str::to_string),
            id.split(' ').nth(2).map(str::to_string),
        )
    };
    effect(a) == effect(b)
}

/// The preview of a head: the cached one, if it is still valid. `refresh`: somebody requests a new
/// one. `may_preview`: the head may be rendered and sent to a cluster.
pub async fn previewed(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    (refresh, may_preview): (bool, bool),
) -> Result<Arc<ShownPreview>> {
    let head = &snapshot.pull.head.sha;
    let known = ctx.cache.pulls.previews.get(key);
    let known = known.filter(|known| known.preview.head == *head);
    let holds = |known: &&Arc<ShownPreview>| {
        !refresh && known.preview.base == base.commit && !known.is_due()
    };
    if let Some(known) = known.as_ref().filter(holds) {
        return Ok(known.clone());
    }
    let started = Instant::now();
    // Only a few at once: each holds the objects of its applications in memory.
    let _turn = ctx.previewing.acquire().await;
    let attempt = ctx
        .heads
        .begin(key, head, refresh)
        .map_err(|error| Error::Git(error.into()))?;
    let failure = match (may_preview, attempt.is_none()) {
        (false, _) => Some(Failure::Fork),
        (true, crashes) => crashes.then_some(Failure::Killed),
    };
    let diff = match failure {
        Some(Failure::Fork) if touches_nothing(ctx, key, base).await? => GitDiff::default(),
        failure => git_diff(ctx, key, base, snapshot, failure).await?,
    };
    let (mut made, passing) = make(ctx, base, head, diff, started).await?;
    ctx.metrics.previewed(made.preview.duration);
    if let Some(attempt) = attempt {
        attempt.done();
    }
    let passing = passing || may_pass(&made.preview);
    made.retry = passing.then(|| next_time(known.as_deref()));
    let shown_preview = Arc::new(made);
    ctx.cache
        .pulls
        .previews
        .insert(key.clone(), shown_preview.clone());
    if is_outdated(ctx, &shown_preview, started) {
        ctx.cache.pulls.previews.invalidate(key);
        ctx.emit(&Event::PullRequest(key.clone()));
    }
    Ok(shown_preview)
}

/// Makes the preview of what a head changes; and whether an application failed for a transient
/// reason. `started`: when the work on it began.
pub async fn make(
    ctx: &Arc<Reader>,
    base: &Arc<Base>,
    head: &CommitSha,
    diff: GitDiff,
    started: Instant,
) -> Result<(ShownPreview, bool)> {
    let changes = diff.changes.clone();
    let (total, failure) = (diff.total, diff.failure.clone());
    let (applications, passing) = applications(ctx, base, head, diff).await?;
    let preview = Preview {
        policy: changes.policy.clone(),
        head: head.clone(),
        base: base.commit.clone(),
        applications,
        total,
        failure,
        duration: started.elapsed(),
    };
    // With thousands of objects this takes a second.
    let text = tokio::task::block_in_place(|| view::preview(&preview));
    let shown = ShownPreview {
        id: preview.id(),
        made: Instant::now(),
        retry: None,
        preview,
        text,
        changes: changes.into(),
    };
    Ok((shown, passing))
}

/// What the head changes in Git; a failure if the head is not previewed. `failure`: it is
/// not to be.
async fn git_diff(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    failure: Option<Failure>,
) -> Result<GitDiff> {
    let head = snapshot.pull.head.sha.clone();
    let too_large = ctx.cache.pulls.too_large.get(&(key.clone(), head.clone()));
    let failure = match too_large {
        Some(why) if failure.is_none() => Some(Failure::TooLarge(why)),
        _ => failure,
    };
    if failure.is_some() {
        return Ok(GitDiff {
            failure,
            ..GitDiff::default()
        });
    }
    let (base, fleet) = (base.clone(), ctx.environment.fleet_of(&key.repo));
    ctx.mirror(&key.repo, move |mirror| {
        let (repo, catalog) = (&base.repo.name, base.configuration.as_ref());
        preview::git_diff(mirror, (repo, &fleet), catalog, &base.commit, &head)
    })
    .await
}

/// The previews of the applications that the head changes; and whether one of them failed for a
/// transient reason.
async fn applications(
    ctx: &Arc<Reader>,
    base: &Arc<Base>,
    head: &CommitSha,
    diff: GitDiff,
) -> Result<(Vec<ApplicationPreview>, bool)> {
    let repo = &base.repo.name;
    // One budget for all renderings of this head.
    let plain = ctx.environment.previewing(ctx.preview_account.as_ref());
    let environment = plain.within(Budget::of(head));
    // Applications that the head does not change are rendered outside the budget.
    let changed_applications: BTreeSet<_> = diff
        .inputs
        .iter()
        .map(|touched| touched.target.key(repo))
        .collect();
    let environment_of = |target: &Target| match changed_applications.contains(&target.key(repo)) {
        true => &environment,
        false => &plain,
    };
    let claims = if diff.inputs.is_empty() {
        ResourceOwners::default()
    } else {
        resource_owners::of(environment_of, repo, base.repo.id, &diff.heads).await?
    };
    let inputs = diff.inputs.into_iter();
    let shown = inputs.map(|touched| shown(ctx, &environment, base, touched, &claims));
    let shown = side_by_side(shown).await?;
    let passing = shown.iter().any(|(_, passing)| *passing);
    Ok((shown.into_iter().map(|(app, _)| app).collect(), passing))
}

/// The preview of one application; and whether it failed for a transient reason.
async fn shown(
    ctx: &Arc<Reader>,
    environment: &Environment,
    base: &Base,
    touched: Touched,
    claims: &ResourceOwners,
) -> Result<(ApplicationPreview, bool)> {
    let name = touched.target.key(&base.repo.name);
    let cluster = touched.target.destination.cluster.clone();
    let (mut app, passing) = match application(ctx, environment, base, touched, claims).await {
        // The preview shows it, and it is tried again: nobody has to fix anything.
        Err(Error::Render(why)) => (preview::blank(name, &cluster, Some(why)), true),
        other => (other?, false),
    };
    name_sources(ctx, base, &mut app).await?;
    Ok((app, passing))
}

async fn application(
    ctx: &Arc<Reader>,
    environment: &Environment,
    base: &Base,
    touched: Touched,
    claims: &ResourceOwners,
) -> Result<ApplicationPreview> {
    let repo = &base.repo.name;
    let known = ctx.store.application(&touched.target.key(repo)).await?;
    let synced = match known.clone() {
        Some(object) => {
            let (target, before) = (touched.target.clone(), touched.before.clone());
            ctx.mirror(repo, move |mirror| {
                preview::synced_of(mirror, &object, &target, &before)
            })
            .await?
        }
        None => None,
    };
    let known = known.as_ref().map(|object| (object, synced));
    preview::application(environment, repo, base.repo.id, touched, claims, known).await
}

/// Whether something cannot be applied that may pass by itself. A decision or a fix in Git does not
/// come by itself.
fn may_pass(preview: &Preview) -> bool {
    let refused = |change: &Change| change.problem.is_some() && change.notes.undecided.is_empty();
    let mut applications = preview.applications.iter();
    applications.any(|app| app.error.is_none() && app.plan.changes.iter().any(refused))
}

/// When the preview is made again, and after which pause: twice the one before.
fn next_time(known: Option<&ShownPreview>) -> (Instant, Duration) {
    let pause = match known.and_then(|known| Some((known.is_due(), known.retry?.1))) {
        Some((true, pause)) => (pause * 2).min(LONGEST_PAUSE),
        Some((false, pause)) => pause,
        None => FIRST_PAUSE,
    };
    (Instant::now() + pause, pause)
}

/// Whether something that a preview shows changed while it was made.
fn is_outdated(ctx: &Reader, shown_preview: &ShownPreview, started: Instant) -> bool {
    let changed = locked(&ctx.cache.pulls.changed);
    let meanwhile =
        |app: &ApplicationPreview| changed.get(&app.key).is_some_and(|at| *at >= started);
    let may_be_affected =
        |app: &ApplicationPreview| !app.waiting.is_empty() || app.plan.problems().next().is_some();
    let mut applications = shown_preview.preview.applications.iter();
    applications.any(|app| meanwhile(app) && may_be_affected(app))
}

/// Adds links to the source changes of updated images.
async fn name_sources(ctx: &Arc<Reader>, base: &Base, app: &mut ApplicationPreview) -> Result<()> {
    if app.images.is_empty() {
        return Ok(());
    }
    let object = ctx.store.promotion(&app.key.of_stage()).await?;
    let announced: Vec<_> = object
        .iter()
        .flat_map(|object| object.spec.earlier.iter().chain(&object.spec.candidates))
        .cloned()
        .collect();
    let web = base
        .repo
        .html_url
        .strip_suffix(&format!("/{}", base.repo.name))
        .unwrap_or_default();
    let newest = object.as_ref().map(|object| &object.spec.candidates[..]);
    let is_auto = base
        .target(&app.key)
        .is_some_and(|target| target.stage.merge == MergePolicy::Auto);
    for image in &mut app.images {
        let taken_back = TakenBack { holds: is_auto };
        image.taken_back =
            pull_request::takes_back(image, newest.unwrap_or_default()).then_some(taken_back);
        image.source = pull_request::source_of(image, &announced, web);
    }
    Ok(())
}

/// Something changed in applications: the affected previews of them are made again.
pub fn invalidate_previews(
    ctx: &Reader,
    repo: &RepoName,
    applications: &BTreeSet<TargetKey>,
    is_affected: impl Fn(&ApplicationPreview) -> bool,
) {
    locked(&ctx.cache.pulls.changed)
        .extend(applications.iter().map(|key| (key.clone(), Instant::now())));
    let stale = |app: &ApplicationPreview| applications.contains(&app.key) && is_affected(app);
    let previews = &ctx.cache.pulls.previews;
    let affected = |(key, shown_preview): (Arc<PullRequestKey>, Arc<ShownPreview>)| {
        (key.repo == *repo && shown_preview.preview.applications.iter().any(&stale)).then_some(key)
    };
    for key in previews.iter().filter_map(affected).collect::<Vec<_>>() {
        previews.invalidate(&*key);
        ctx.emit(&Event::PullRequest((*key).clone()));
    }
}
