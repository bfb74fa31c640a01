//! The preview of a head: made once, remembered, made anew when what it tells of became different.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::controller::cache::locked;
use crate::controller::claims::{self, Claims};
use crate::controller::preview::{self, Changes, GitLook, Touched};
use crate::controller::{Base, Error, Event, Reader, Result};
use crate::domain::catalog::Target;
use crate::domain::plan::Change;
use crate::domain::pull_request::{self, ApplicationPreview, Failure, Preview};
use crate::domain::{ApplicationKey, PullRequestKey, RepoName};
use crate::github::PullSnapshot;
use crate::render::Budget;
use crate::view::{self, PreviewText};

/// A preview, and what is written of it: every look needs both, and a large one takes a while to write.
pub struct Shown {
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

impl Shown {
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

pub async fn previewed(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    again: bool,
) -> Result<Arc<Shown>> {
    let started = Instant::now();
    let (head, tip) = (snapshot.pull.head.sha.clone(), base.commit.clone());
    let known = ctx.cache.pulls.previews.get(key);
    let known = known.filter(|known| known.preview.head == head);
    let is_due = |known: &Arc<Shown>| known.again.is_some_and(|(at, _)| at <= Instant::now());
    if let Some(known) = known
        .clone()
        .filter(|known| !again && known.preview.base == tip && !is_due(known))
    {
        return Ok(known);
    }
    let nothing = |failure| GitLook {
        failure: Some(failure),
        ..GitLook::default()
    };
    // A few at once: each holds what its applications are made of.
    let _turn = ctx.previewing.acquire().await;
    let looking = ctx
        .heads
        .begin(key, &head, again)
        .map_err(|error| Error::Git(error.into()))?;
    let too_large = ctx.cache.pulls.too_large.get(&(key.clone(), head.clone()));
    let look = if snapshot.pull.is_fork(base.repo.id) {
        nothing(Failure::Fork)
    } else if let Some(why) = too_large {
        nothing(Failure::TooLarge(why))
    } else if looking.is_none() {
        nothing(Failure::Killed)
    } else {
        let (base, head) = (base.clone(), head.clone());
        ctx.mirror(&key.repo, move |mirror| {
            preview::look_at_git(mirror, base.catalog.as_ref(), &base.commit, &head)
        })
        .await?
    };
    // One for all that this head has rendered.
    let plain = ctx.observer.previewing(ctx.preview_account.as_ref());
    let observer = plain.within(Budget::default());
    // What the head leaves as it is takes from nobody's budget.
    let brought: BTreeSet<_> = look
        .inputs
        .iter()
        .map(|touched| touched.target.key(&key.repo))
        .collect();
    let observer_of = |target: &Target| {
        if brought.contains(&target.key(&key.repo)) {
            &observer
        } else {
            &plain
        }
    };
    let claims = if look.inputs.is_empty() {
        Claims::default()
    } else {
        claims::of(observer_of, &key.repo, base.repo.id, &look.heads).await?
    };
    let (mut applications, mut passing) = (Vec::new(), false);
    for Touched {
        target,
        before,
        after,
        in_base,
    } in look.inputs
    {
        let known = ctx.home.application(&target.key(&key.repo)).await?;
        let synced = match known.clone() {
            Some(object) => {
                let (target, before) = (target.clone(), before.clone());
                ctx.mirror(&key.repo, move |mirror| {
                    preview::synced_of(mirror, &object, &target, &before)
                })
                .await?
            }
            None => None,
        };
        let known = known.as_ref().map(|object| (object, synced));
        let (name, cluster) = (target.key(&key.repo), target.destination.cluster.clone());
        let made = preview::application(
            &observer,
            &key.repo,
            base.repo.id,
            (target, in_base),
            (before, after),
            &claims,
            known,
        );
        let mut app = match made.await {
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
    let preview = Preview {
        head,
        base: tip,
        applications,
        total: look.total,
        failure: look.failure,
        duration: started.elapsed(),
    };
    ctx.metrics.previewed(preview.duration);
    if let Some(looking) = looking {
        looking.done();
    }
    // Thousands of objects take a second.
    let text = tokio::task::block_in_place(|| view::preview(&preview));
    let pause = match known.and_then(|known| Some((is_due(&known), known.again?.1))) {
        Some((due, pause)) => {
            if due {
                (pause * 2).min(LONGEST_PAUSE)
            } else {
                pause
            }
        }
        None => FIRST_PAUSE,
    };
    // What somebody has to decide, or to mend in Git, does not pass by itself.
    let refused = |change: &Change| change.problem.is_some() && change.notes.undecided.is_empty();
    let may_pass = preview
        .applications
        .iter()
        .any(|app| app.error.is_none() && app.plan.changes.iter().any(refused));
    let again = (may_pass || passing).then(|| (Instant::now() + pause, pause));
    let shown = Arc::new(Shown {
        id: preview.id(),
        preview,
        text,
        changes: look.changes.into(),
        again,
    });
    ctx.cache.pulls.previews.insert(key.clone(), shown.clone());
    // Something that it tells of became different while it was made.
    let renewed = locked(&ctx.cache.pulls.changed).clone();
    let meanwhile =
        |app: &ApplicationPreview| renewed.get(&app.key).is_some_and(|at| *at >= started);
    let tells =
        |app: &ApplicationPreview| !app.waiting.is_empty() || app.plan.problems().next().is_some();
    if shown
        .preview
        .applications
        .iter()
        .any(|app| meanwhile(app) && tells(app))
    {
        ctx.cache.pulls.previews.invalidate(key);
        ctx.emit(&Event::PullRequest(key.clone()));
    }
    Ok(shown)
}

/// Where what changed in the sources of images that move can be seen.
async fn name_sources(ctx: &Arc<Reader>, base: &Base, app: &mut ApplicationPreview) -> Result<()> {
    if app.images.is_empty() {
        return Ok(());
    }
    let object = ctx.home.promotion(&app.key).await?;
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

// ---- the verdict

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
    let of = |(key, shown): (Arc<PullRequestKey>, Arc<Shown>)| {
        (key.repo == *repo && shown.preview.applications.iter().any(&stale)).then_some(key)
    };
    for key in previews.iter().filter_map(of).collect::<Vec<_>>() {
        previews.invalidate(&*key);
        ctx.emit(&Event::PullRequest((*key).clone()));
    }
}
