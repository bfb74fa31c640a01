//! The preview of a head: made once, remembered, made anew when what it tells of became different.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::controller::cache::locked;
use crate::controller::preview::{self, Changes, GitLook, Touched};
use crate::controller::resource_owners::{self, ResourceOwners};
use crate::controller::{Base, Environment, Error, Event, Reader, Result};
use crate::domain::catalog::Target;
use crate::domain::plan::Change;
use crate::domain::pull_request::{self, ApplicationPreview, Failure, Preview};
use crate::domain::{ApplicationKey, PullRequestKey, RepoName};
use crate::github::PullSnapshot;
use crate::render::Budget;
use crate::view::{self, PreviewText};

/// A preview, and what is written of it: every look needs both, and a large one takes a while to write.
pub struct ShownPreview {
    pub preview: Preview,
    pub text: PreviewText,
    /// What differs in Git between the base and this head.
    pub changes: Arc<Changes>,
    /// [`Preview::id`].
    pub id: String,
    /// Where something cannot be applied, which may pass by itself: when it is asked about again, and after which pause.
    pub again: Option<(Instant, Duration)>,
}

/// Pauses between two previews of what cannot be applied.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

impl ShownPreview {
    /// It is to be asked about again by now.
    fn is_due(&self) -> bool {
        self.again.is_some_and(|(at, _)| at <= Instant::now())
    }

    /// Bytes that it takes, nearly: its text, and the objects that it was made from.
    pub fn size(&self) -> usize {
        let objects: usize = self
            .preview
            .applications
            .iter()
            .map(|app| app.plan.changes.len() + app.drift.changes.len() + app.waiting.changes.len())
            .sum();
        objects * (16 << 10)
            + 4 * (self.text.comment.text.len()
                + self.text.text.len()
                + self.text.pages.iter().map(String::len).sum::<usize>())
            + 4096
    }
}

/// Two previews with the same plan digest and outcome are one: a base that moved without changing the effect voids no approval.
pub fn same_effect(a: &str, b: &str) -> bool {
    let effect = |id: &str| {
        (
            id.split(' ').next().map(str::to_string),
            id.split(' ').nth(2).map(str::to_string),
        )
    };
    effect(a) == effect(b)
}

/// The preview of a head: the one that is known, if it still holds. `again`: somebody asks for it to be made anew.
pub async fn previewed(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    again: bool,
) -> Result<Arc<ShownPreview>> {
    let head = &snapshot.pull.head.sha;
    let known = ctx.cache.pulls.previews.get(key);
    let known = known.filter(|known| known.preview.head == *head);
    let holds =
        |known: &&Arc<ShownPreview>| !again && known.preview.base == base.commit && !known.is_due();
    if let Some(known) = known.as_ref().filter(holds) {
        return Ok(known.clone());
    }
    let started = Instant::now();
    // A few at once: each holds what its applications are made of.
    let _turn = ctx.previewing.acquire().await;
    let looking = ctx
        .heads
        .begin(key, head, again)
        .map_err(|error| Error::Git(error.into()))?;
    let look = look_at_git(ctx, key, base, snapshot, looking.is_none()).await?;
    let changes = look.changes.clone();
    let (total, failure) = (look.total, look.failure.clone());
    let (applications, passing) = applications(ctx, key, base, look).await?;
    let preview = Preview {
        head: head.clone(),
        base: base.commit.clone(),
        applications,
        total,
        failure,
        duration: started.elapsed(),
    };
    ctx.metrics.previewed(preview.duration);
    if let Some(looking) = looking {
        looking.done();
    }
    // Thousands of objects take a second.
    let text = tokio::task::block_in_place(|| view::preview(&preview));
    let shown = Arc::new(ShownPreview {
        id: preview.id(),
        again: (passing || may_pass(&preview)).then(|| next_time(known.as_deref())),
        preview,
        text,
        changes: changes.into(),
    });
    ctx.cache.pulls.previews.insert(key.clone(), shown.clone());
    if is_outdated(ctx, &shown, started) {
        ctx.cache.pulls.previews.invalidate(key);
        ctx.emit(&Event::PullRequest(key.clone()));
    }
    Ok(shown)
}

/// What the head changes in Git; a failure where it is not looked at.
async fn look_at_git(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    killed: bool,
) -> Result<GitLook> {
    let head = snapshot.pull.head.sha.clone();
    let too_large = ctx.cache.pulls.too_large.get(&(key.clone(), head.clone()));
    let failure = match too_large {
        _ if snapshot.pull.is_fork(base.repo.id) => Some(Failure::Fork),
        Some(why) => Some(Failure::TooLarge(why)),
        None => killed.then_some(Failure::Killed),
    };
    if failure.is_some() {
        return Ok(GitLook {
            failure,
            ..GitLook::default()
        });
    }
    let base = base.clone();
    ctx.mirror(&key.repo, move |mirror| {
        preview::look_at_git(mirror, base.catalog.as_ref(), &base.commit, &head)
    })
    .await
}

/// The previews of the applications that the head changes; and whether one of them failed by what passes by itself.
async fn applications(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    look: GitLook,
) -> Result<(Vec<ApplicationPreview>, bool)> {
    // One for all that this head has rendered.
    let plain = ctx.environment.previewing(ctx.preview_account.as_ref());
    let environment = plain.within(Budget::default());
    // What the head leaves as it is takes from nobody's budget.
    let brought: BTreeSet<_> = look
        .inputs
        .iter()
        .map(|touched| touched.target.key(&key.repo))
        .collect();
    let observer_of = |target: &Target| match brought.contains(&target.key(&key.repo)) {
        true => &environment,
        false => &plain,
    };
    let claims = if look.inputs.is_empty() {
        ResourceOwners::default()
    } else {
        resource_owners::of(observer_of, &key.repo, base.repo.id, &look.heads).await?
    };
    let (mut applications, mut passing) = (Vec::new(), false);
    for touched in look.inputs {
        let (name, cluster) = (
            touched.target.key(&key.repo),
            touched.target.destination.cluster.clone(),
        );
        let mut app = match application(ctx, &environment, base, touched, &claims).await {
            // Said, and tried again: nobody has to mend it.
            Err(Error::Render(why)) => {
                passing = true;
                preview::blank(name, &cluster, Some(why))
            }
            other => other?,
        };
        name_sources(ctx, base, &mut app).await?;
        applications.push(app);
    }
    Ok((applications, passing))
}

async fn application(
    ctx: &Arc<Reader>,
    environment: &Environment,
    base: &Base,
    touched: Touched,
    claims: &ResourceOwners,
) -> Result<ApplicationPreview> {
    let Touched {
        target,
        before,
        after,
        in_base,
    } = touched;
    let repo = &base.repo.name;
    let known = ctx.store.application(&target.key(repo)).await?;
    let synced = match known.clone() {
        Some(object) => {
            let (target, before) = (target.clone(), before.clone());
            ctx.mirror(repo, move |mirror| {
                preview::synced_of(mirror, &object, &target, &before)
            })
            .await?
        }
        None => None,
    };
    let known = known.as_ref().map(|object| (object, synced));
    preview::application(
        environment,
        repo,
        base.repo.id,
        (target, in_base),
        (before, after),
        claims,
        known,
    )
    .await
}

/// Whether something cannot be applied that may pass by itself. What somebody has to decide, or to mend in Git, does not.
fn may_pass(preview: &Preview) -> bool {
    let refused = |change: &Change| change.problem.is_some() && change.notes.undecided.is_empty();
    let mut applications = preview.applications.iter();
    applications.any(|app| app.error.is_none() && app.plan.changes.iter().any(refused))
}

/// When what may pass by itself is asked about again, and after which pause: twice the one before.
fn next_time(known: Option<&ShownPreview>) -> (Instant, Duration) {
    let pause = match known.and_then(|known| Some((known.is_due(), known.again?.1))) {
        Some((true, pause)) => (pause * 2).min(LONGEST_PAUSE),
        Some((false, pause)) => pause,
        None => FIRST_PAUSE,
    };
    (Instant::now() + pause, pause)
}

/// Something that a preview tells of became different while it was made.
fn is_outdated(ctx: &Reader, shown: &ShownPreview, started: Instant) -> bool {
    let changed = locked(&ctx.cache.pulls.changed);
    let meanwhile =
        |app: &ApplicationPreview| changed.get(&app.key).is_some_and(|at| *at >= started);
    let tells =
        |app: &ApplicationPreview| !app.waiting.is_empty() || app.plan.problems().next().is_some();
    let mut applications = shown.preview.applications.iter();
    applications.any(|app| meanwhile(app) && tells(app))
}

/// Where what changed in the sources of images that move can be seen.
async fn name_sources(ctx: &Arc<Reader>, base: &Base, app: &mut ApplicationPreview) -> Result<()> {
    if app.images.is_empty() {
        return Ok(());
    }
    let object = ctx.store.promotion(&app.key).await?;
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
    for image in &mut app.images {
        image.source = pull_request::source_of(image, &announced, web);
    }
    Ok(())
}

/// Something became different of applications: previews of them that tell of it are made anew.
pub fn anew(
    ctx: &Reader,
    repo: &RepoName,
    applications: &BTreeSet<ApplicationKey>,
    tells: impl Fn(&ApplicationPreview) -> bool,
) {
    locked(&ctx.cache.pulls.changed)
        .extend(applications.iter().map(|key| (key.clone(), Instant::now())));
    let stale = |app: &ApplicationPreview| applications.contains(&app.key) && tells(app);
    let previews = &ctx.cache.pulls.previews;
    let of = |(key, shown): (Arc<PullRequestKey>, Arc<ShownPreview>)| {
        (key.repo == *repo && shown.preview.applications.iter().any(&stale)).then_some(key)
    };
    for key in previews.iter().filter_map(of).collect::<Vec<_>>() {
        previews.invalidate(&*key);
        ctx.emit(&Event::PullRequest((*key).clone()));
    }
}
