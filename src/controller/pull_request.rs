//! A pull request: preview, commands, verdict, merge, and after it the progress.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::claims::{self, Claims};
use super::preview::{self, Changes, GitLook};
use super::{Base, Ctx, Error, Requeue, Result, key_of_branch, live, locked};
use crate::domain::catalog::Target;
use crate::domain::command::{self, Command, Permission};
use crate::domain::gate::{self, Facts, Origin, PreviewFact, Review, StagePolicy, Verdict};
use crate::domain::ownership::FieldRule;
use crate::domain::plan::{Change, Comparison, Plan, Side};
use crate::domain::pull_request::{self, ApplicationPreview, Ask, CHECK, Failure, GATE_CONTEXT, Preview, Seen, Step, Sticky};
use crate::domain::{ApplicationKey, CommitKey, CommitSha, PullRequestKey, RepoName};
use crate::github::{self, NewCheck, PullSnapshot};
use crate::view::{self, PreviewText};

pub async fn reconcile(ctx: Arc<Ctx>, key: PullRequestKey) -> Result<Requeue> {
    let snapshot = ctx.github.snapshot(&key).await?;
    let asks = asks(&ctx, &key, &snapshot).await?;
    // Seen before anything slow: nobody should wonder whether a command was noticed.
    let unseen = asks.iter().filter(|ask| !ask.acknowledged);
    for ask in unseen {
        ctx.github.acknowledge(&key.repo, ask.comment).await?;
    }
    let asks: Vec<_> = asks.into_iter().map(|ask| Ask { acknowledged: true, ..ask }).collect();
    let Some(look) = observe(&ctx, &key, snapshot, asks).await? else { return Ok(Requeue::Idle) };
    let steps = pull_request::decide(&look.seen);
    act(&ctx, &key, &look, steps).await
}

/// A preview, and what is written of it: every look needs both, and a large one takes a while to write.
pub struct Shown {
    preview: Preview,
    text: PreviewText,
    /// [`Preview::id`].
    id: String,
    /// Where something cannot be applied, which may pass by itself: when it is asked about again, and after which pause.
    again: Option<(Instant, Duration)>,
}

/// Pauses between two previews of what cannot be applied.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// One look at a pull request.
struct Look {
    seen: Seen,
    base: Arc<Base>,
    snapshot: PullSnapshot,
    /// None: it is not open.
    shown: Option<Arc<Shown>>,
    /// What the pull request touches.
    touched: Vec<Target>,
}

/// None: not a pull request of ours to look after.
async fn observe(ctx: &Arc<Ctx>, key: &PullRequestKey, snapshot: PullSnapshot, asks: Vec<Ask>) -> Result<Option<Look>> {
    let pull = &snapshot.pull;
    // A merge moves branches, which is told by pushes; that a person closed it, only this tells.
    if let Some(promotion) = key_of_branch(&key.repo, &pull.head.branch).filter(|_| !pull.is_open() && pull.merged_at.is_none()) {
        ctx.promotions.put(promotion);
    }
    let base = ctx.known_base(&key.repo).await?;
    let head = pull.head.sha.clone();
    if pull.is_open() && !ctx.mirror(&key.repo, move |mirror| Ok(mirror.has(&head))).await? {
        ctx.fetch(&key.repo, Some(key.number), Instant::now()).await?;
    }
    if base.catalog.is_none() || pull.base.branch != base.repo.default_branch {
        return Ok(None);
    }
    let app = ctx.github.identity().await?;
    let ours = snapshot.comments.iter().filter(|comment| comment.is_ours(app));
    let found = ours
        .clone()
        .find_map(|comment| view::sticky_of(comment.text()).map(|(fingerprint, last)| (Sticky { id: comment.id, fingerprint }, last)));
    let (sticky, told) = found.map_or((None, false), |(sticky, last)| (Some(sticky), last));
    if !pull.is_open() {
        return closed(ctx, key, base, snapshot, asks, sticky, told).await.map(Some);
    }
    let again = asks
        .iter()
        .any(|ask| !ask.edited && ask.permission >= Permission::Write && ask.lines.iter().any(|line| line.meaning == Ok(Command::Preview)));
    let (shown, changes) = previewed(ctx, key, &base, &snapshot, again).await?;
    let Shown { preview, text, id, .. } = &*shown;
    let published = snapshot.check.as_ref().and_then(|check| check.external_id.clone()).filter(|id| !id.is_empty());
    let current = snapshot.check.as_ref().filter(|_| published.as_deref().is_some_and(|published| same_effect(published, id)));
    let fact = current.and_then(|check| Some(PreviewFact { completed_at: check.completed_at?, ok: preview.ok() }));
    let (verdict, permit) = verdict(ctx, key, &base, &snapshot, preview, &changes, fact).await?;
    // No comment when nothing managed changes and none was there.
    let silent = preview.applications.is_empty() && preview.failure.is_none() && sticky.is_none();
    let gate = snapshot.statuses.iter().find(|status| status.context == GATE_CONTEXT);
    let seen = Seen {
        open: true,
        asks,
        wanted: (!silent).then(|| text.comment.clone()),
        sticky,
        preview: Some(id.clone()),
        published: published.map(|published| if same_effect(&published, id) { id.clone() } else { published }),
        verdict: Some(verdict),
        permit,
        gate: gate.map(|status| (status.state.clone(), status.description.clone().unwrap_or_default())),
    };
    Ok(Some(Look { seen, base, shown: Some(shown), touched: changes.touched, snapshot }))
}

/// Two previews with the same plan digest and outcome are one: a base that moved without changing the effect voids no approval.
fn same_effect(a: &str, b: &str) -> bool {
    let effect = |id: &str| (id.split(' ').next().map(str::to_string), id.split(' ').nth(2).map(str::to_string));
    effect(a) == effect(b)
}

/// A pull request that is merged or closed: where its commit stands, and commands that are still to be answered.
async fn closed(
    ctx: &Arc<Ctx>,
    key: &PullRequestKey,
    base: Arc<Base>,
    snapshot: PullSnapshot,
    asks: Vec<Ask>,
    sticky: Option<Sticky>,
    told: bool,
) -> Result<Look> {
    let merged: Option<CommitSha> = snapshot.pull.merged_at.and(snapshot.pull.merge_commit_sha.as_ref()).and_then(|sha| sha.parse().ok());
    if merged.is_none() {
        locked(&ctx.memory.previews).remove(key);
    }
    let mut touched = Vec::new();
    let mut wanted = None;
    // While the configuration cannot be read nobody can tell which applications it changed.
    if let Some(commit) = merged.filter(|_| !matches!(base.catalog, Some(Err(_)))) {
        let at = commit.clone();
        if ctx.mirror(&key.repo, move |mirror| Ok(mirror.has(&at))).await? {
            let name = CommitKey { repo: key.repo.clone(), commit: commit.clone() };
            super::commit::came_by(ctx, &name, key.number);
            if sticky.is_some() && !told {
                ctx.commits.put(name);
            }
            let (progress, _) = super::commit::progress_of(ctx, &key.repo, &base, &commit).await?;
            touched = progress.iter().filter_map(|one| base.target(&one.key).cloned()).collect();
            // The end of the story is told once; what comes later belongs to later commits.
            if !told && progress.iter().all(|one| one.state == pull_request::ProgressState::Healthy) {
                score(ctx, key, &base).await?;
            }
            if sticky.is_some() && !told {
                let preview = snapshot.check.as_ref().and_then(|check| check.output.text.as_deref());
                wanted = Some(view::progress(&commit, &progress, preview));
            }
        }
    }
    let seen = Seen { open: false, asks, wanted, sticky, preview: None, published: None, verdict: None, permit: None, gate: None };
    Ok(Look { seen, base, snapshot, shown: None, touched })
}

/// Holds what a preview showed against what came of it, once. Only for the preview that this process made: it is a
/// measure, and nothing waits for it.
async fn score(ctx: &Arc<Ctx>, key: &PullRequestKey, base: &Base) -> Result<()> {
    let Some(shown) = locked(&ctx.memory.previews).remove(key) else { return Ok(()) };
    let (mut held, mut missed) = (0, 0);
    for app in &shown.preview.applications {
        let Some(target) = base.target(&app.key) else { continue };
        let cluster = ctx.cluster(&target.destination.cluster)?;
        for change in app.plan.effective().filter(|change| change.problem.is_none()) {
            let live = cluster.live(&change.key, &change.version).await?;
            if crate::domain::plan::came_out(&ctx.observer.mask, change, live.as_ref()) {
                held += 1;
            } else {
                missed += 1;
                let came = Plan::new(&ctx.observer.mask, [Comparison::new(change.key.clone(), Side::Absent, live::side(live))]);
                let came = came.changes.first().and_then(|came| came.after.clone());
                let differs = crate::domain::plan::Change { before: change.after.clone(), after: came, ..change.clone() };
                let [differs] = differs.diffs([0]);
                tracing::info!(pr = %key, object = %change.key, action = change.action.word(), differs, "a prediction did not come out");
            }
        }
    }
    ctx.metrics.predicted(held, missed);
    Ok(())
}

/// Comments with command lines that have no answer of ours.
async fn asks(ctx: &Arc<Ctx>, key: &PullRequestKey, snapshot: &PullSnapshot) -> Result<Vec<Ask>> {
    let app = ctx.github.identity().await?;
    let answered: BTreeSet<u64> =
        snapshot.comments.iter().filter(|comment| comment.is_ours(app)).filter_map(|comment| view::reply_of(comment.text())).collect();
    let mut asks = Vec::new();
    for comment in &snapshot.comments {
        let Some(author) = comment.user.as_ref().filter(|user| user.kind == "User") else { continue };
        if answered.contains(&comment.id) || comment.performed_via_github_app.is_some() {
            continue;
        }
        let lines = command::parse(comment.text());
        if lines.is_empty() {
            continue;
        }
        asks.push(Ask {
            comment: comment.id,
            author: author.login.clone(),
            permission: ctx.github.permission(&key.repo, &author.login).await?,
            lines,
            acknowledged: comment.reactions.as_ref().is_some_and(|reactions| reactions.eyes > 0),
            edited: comment.updated_at > comment.created_at,
        });
    }
    Ok(asks)
}

// ---- the preview

async fn previewed(
    ctx: &Arc<Ctx>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    again: bool,
) -> Result<(Arc<Shown>, Changes)> {
    let started = Instant::now();
    let (head, tip) = (snapshot.pull.head.sha.clone(), base.commit.clone());
    let fork = snapshot.pull.head.repo.as_ref().is_none_or(|repo| repo.id != base.repo.id);
    let look = if fork {
        GitLook { failure: Some(Failure::Fork), changes: Changes::default(), total: 0, inputs: vec![], heads: vec![] }
    } else {
        let (base, head) = (base.clone(), head.clone());
        ctx.mirror(&key.repo, move |mirror| preview::look_at_git(mirror, base.catalog.as_ref(), &base.commit, &head)).await?
    };
    let known = locked(&ctx.memory.previews).get(key).cloned();
    let known = known.filter(|known| known.preview.head == head);
    let is_due = |known: &Arc<Shown>| known.again.is_some_and(|(at, _)| at <= Instant::now());
    if let Some(known) = known.clone().filter(|known| !again && known.preview.base == tip && !is_due(known)) {
        return Ok((known, look.changes));
    }
    let claims =
        if look.inputs.is_empty() { Claims::default() } else { claims::of(&ctx.observer, &key.repo, base.repo.id, &look.heads).await? };
    let mut applications = Vec::new();
    for (target, before, after) in look.inputs {
        let known = ctx.home.application(&target.key(&key.repo)).await?;
        let synced = match known.clone() {
            Some(object) => {
                let (target, before) = (target.clone(), before.clone());
                ctx.mirror(&key.repo, move |mirror| preview::synced_of(mirror, &object, &target, &before)).await?
            }
            None => None,
        };
        let known = known.as_ref().map(|object| (object, synced));
        let made = preview::application(&ctx.observer, &key.repo, base.repo.id, target, (before, after), &claims, known);
        let mut app = made.await?;
        name_sources(ctx, base, &mut app).await?;
        applications.push(app);
    }
    let preview = Preview { head, base: tip, applications, total: look.total, failure: look.failure, duration: started.elapsed() };
    ctx.metrics.previewed(preview.duration);
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
    let may_pass = preview.applications.iter().any(|app| app.error.is_none() && app.plan.changes.iter().any(refused));
    let again = may_pass.then(|| (Instant::now() + pause, pause));
    let shown = Arc::new(Shown { id: preview.id(), preview, text, again });
    locked(&ctx.memory.previews).insert(key.clone(), shown.clone());
    // Something that it tells of became different while it was made.
    let renewed = locked(&ctx.memory.renewed).clone();
    let meanwhile = |app: &ApplicationPreview| renewed.get(&app.key).is_some_and(|at| *at >= started);
    let tells = |app: &ApplicationPreview| !app.waiting.is_empty() || app.plan.problems().next().is_some();
    if shown.preview.applications.iter().any(|app| meanwhile(app) && tells(app)) {
        locked(&ctx.memory.previews).remove(key);
        ctx.pulls.put(key.clone());
    }
    Ok((shown, look.changes))
}

/// Where what changed in the sources of images that move can be seen.
async fn name_sources(ctx: &Arc<Ctx>, base: &Base, app: &mut ApplicationPreview) -> Result<()> {
    if app.images.is_empty() {
        return Ok(());
    }
    let object = ctx.home.promotion(&app.key).await?;
    let announced: Vec<_> = object.iter().flat_map(|object| object.spec.earlier.iter().chain(&object.spec.candidates)).cloned().collect();
    let web = base.repo.html_url.strip_suffix(&format!("/{}", base.repo.name)).unwrap_or_default();
    for image in &mut app.images {
        image.source = pull_request::source_of(image, &announced, web);
    }
    Ok(())
}

// ---- the verdict

async fn verdict(
    ctx: &Arc<Ctx>,
    key: &PullRequestKey,
    base: &Arc<Base>,
    snapshot: &PullSnapshot,
    preview: &Preview,
    changes: &Changes,
    fact: Option<PreviewFact>,
) -> Result<(Verdict, Option<gate::MergePermit>)> {
    let pull = &snapshot.pull;
    let refused = locked(&ctx.memory.refusals).get(key).filter(|(head, _)| *head == pull.head.sha).map(|(_, why)| why.clone());
    let facts = Facts {
        head: pull.head.sha.clone(),
        origin: origin(ctx, key, base, snapshot, changes).await?,
        author: pull.author().into(),
        draft: pull.draft,
        stages: changes
            .touched
            .iter()
            .map(|target| StagePolicy {
                title: target.key(&key.repo).title(),
                auto: target.stage.merge == crate::domain::catalog::MergePolicy::Auto && target.stage.approvals == 0,
                approvals: target.stage.approvals,
            })
            .collect(),
        touches_unmanaged: changes.unmanaged.clone(),
        conflicts: if let Some(Failure::Conflict(files)) = &preview.failure { files.clone() } else { vec![] },
        preview: fact,
        reviews: reviews(ctx, key, snapshot).await?,
        refused,
    };
    Ok(gate::evaluate(&facts))
}

/// The last opinion of each reviewer, with whether it is a writer's.
async fn reviews(ctx: &Arc<Ctx>, key: &PullRequestKey, snapshot: &PullSnapshot) -> Result<Vec<Review>> {
    let mut last: HashMap<&str, &github::Review> = HashMap::new();
    for review in &snapshot.reviews {
        if let Some(user) = &review.user
            && matches!(review.state.as_str(), "APPROVED" | "CHANGES_REQUESTED" | "DISMISSED")
        {
            last.insert(&user.login, review);
        }
    }
    let mut opinions = Vec::new();
    for (user, review) in last.into_iter().filter(|(_, review)| review.state != "DISMISSED") {
        opinions.push(Review {
            user: user.into(),
            approves: review.state == "APPROVED",
            commit: review.commit_id.clone(),
            submitted_at: review.submitted_at.unwrap_or(Timestamp::MIN),
            writer: ctx.github.permission(&key.repo, user).await? >= Permission::Write,
        });
    }
    opinions.sort_by(|a, b| a.user.cmp(&b.user));
    Ok(opinions)
}

/// Ours is what our App opened, whose commits are all ours, and whose tree is the edit made anew from the candidates.
async fn origin(ctx: &Arc<Ctx>, key: &PullRequestKey, base: &Arc<Base>, snapshot: &PullSnapshot, changes: &Changes) -> Result<Origin> {
    let bot = ctx.github.identity().await?.login.clone();
    let pull = &snapshot.pull;
    let Some(promotion) = key_of_branch(&key.repo, &pull.head.branch).filter(|_| pull.author() == bot) else { return Ok(Origin::People) };
    let (Some(object), Some(target), Some(merged)) =
        (ctx.home.promotion(&promotion).await?, base.target(&promotion).cloned(), changes.merged)
    else {
        return Ok(Origin::OursChanged);
    };
    let (commit, head) = (base.commit.clone(), pull.head.sha.clone());
    let pure = ctx
        .mirror(&key.repo, move |mirror| {
            if !mirror.authors(&commit, &head)?.iter().all(|email| super::promotion::is_ours(email, &bot)) {
                return Ok(false);
            }
            let tree = mirror.tree(&commit)?;
            let edits = super::promotion::edits(mirror, tree, &target.place(), &object.spec.candidates)?;
            Ok(match edits {
                // The merged tree was made by another handle of the same repository: ids of equal content are equal.
                Ok(edits) => mirror.edited(tree, &edits)? == merged,
                Err(_) => false,
            })
        })
        .await?;
    Ok(if pure { Origin::Ours } else { Origin::OursChanged })
}

// ---- writes

async fn act(ctx: &Arc<Ctx>, key: &PullRequestKey, look: &Look, steps: Vec<Step>) -> Result<Requeue> {
    let head = &look.snapshot.pull.head.sha;
    let again = look.shown.as_ref().and_then(|shown| shown.again);
    let mut requeue = again.map_or(Requeue::Idle, |(at, _)| Requeue::After(at.saturating_duration_since(Instant::now())));
    for step in steps {
        tracing::debug!(?step, "pull request");
        match step {
            Step::Acknowledge { comment } => ctx.github.acknowledge(&key.repo, comment).await?,
            Step::PostSticky(wanted) => ctx.github.post_comment(key, &wanted.body).await?,
            Step::EditSticky { id, wanted } => ctx.github.edit_comment(&key.repo, id, &wanted.body).await?,
            Step::PublishCheck => {
                publish(ctx, key, look).await?;
                requeue = Requeue::After(Duration::ZERO);
            }
            Step::SetGate { state, description } => ctx.github.set_status(&key.repo, head, GATE_CONTEXT, state, &description).await?,
            Step::Answer { comment } => answer(ctx, key, look, comment).await?,
            Step::Merge(permit) => match ctx.github.merge(key, &permit).await {
                Ok(()) => {
                    ctx.touch(&key.repo);
                    requeue = Requeue::After(Duration::ZERO);
                }
                Err(github::Error::Refused { message, .. }) => {
                    tracing::warn!(pr = %key, message, "GitHub refused the merge");
                    locked(&ctx.memory.refusals).insert(key.clone(), (head.clone(), message));
                    // Said at once, tried again later: what GitHub asks for may come.
                    requeue = Requeue::After(Duration::from_millis(500));
                    forget_refusal_later(ctx, key);
                }
                Err(error) => return Err(Error::GitHub(error)),
            },
        }
    }
    Ok(requeue)
}

/// A refusal is believed for half a minute, then the merge is tried again.
fn forget_refusal_later(ctx: &Arc<Ctx>, key: &PullRequestKey) {
    let (ctx, key) = (Arc::downgrade(ctx), key.clone());
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        if let Some(ctx) = ctx.upgrade() {
            locked(&ctx.memory.refusals).remove(&key);
            ctx.pulls.put(key);
        }
    });
}

async fn publish(ctx: &Arc<Ctx>, key: &PullRequestKey, look: &Look) -> Result<()> {
    let Some(Shown { preview, text, id, .. }) = look.shown.as_deref() else { return Ok(()) };
    let conclusion = match (&preview.failure, preview.ok()) {
        (Some(Failure::Fork), _) => "neutral",
        (_, true) => "success",
        (_, false) => "failure",
    };
    // What follows on the first page comes first: once the check run that counts is there, all of it is.
    for (number, page) in text.pages.iter().enumerate() {
        let check = NewCheck {
            name: format!("{CHECK} page {}", number + 2),
            head: preview.head.clone(),
            external_id: id.clone(),
            conclusion: "neutral",
            completed_at: Timestamp::from_second(ctx.now().as_second()).unwrap_or_else(|_| ctx.now()),
            title: format!("{} (page {} of {})", text.title, number + 2, text.pages.len() + 1),
            summary: format!("Goes on from `{CHECK}`."),
            text: page.clone(),
        };
        ctx.github.publish_check(&key.repo, &check).await?;
    }
    let check = NewCheck {
        name: CHECK.into(),
        head: preview.head.clone(),
        external_id: id.clone(),
        conclusion,
        completed_at: Timestamp::from_second(ctx.now().as_second()).unwrap_or_else(|_| ctx.now()),
        title: text.title.clone(),
        summary: text.summary.clone(),
        text: text.text.clone(),
    };
    Ok(ctx.github.publish_check(&key.repo, &check).await?)
}

/// Carries out the commands of one comment, then answers it in one new comment.
async fn answer(ctx: &Arc<Ctx>, key: &PullRequestKey, look: &Look, comment: u64) -> Result<()> {
    let Some(ask) = look.seen.asks.iter().find(|ask| ask.comment == comment) else { return Ok(()) };
    let mut answers = Vec::new();
    for line in &ask.lines {
        let text = match &line.meaning {
            Err(wrong) => view::mistake(wrong),
            Ok(_) if ask.edited => {
                "This comment was edited after it was posted, and GitHub does not tell by whom: please give the command in a new comment."
                    .into()
            }
            Ok(command) if ask.permission < command.needs() => {
                let (word, needs, has) = (command.word(), command.needs().word(), ask.permission.word());
                format!("`/{word}` needs {needs} permission on this repository; {} has {has} permission.", view::code(&ask.author))
            }
            Ok(command) => carry_out(ctx, key, look, *command, comment).await?,
        };
        answers.push((line.clone(), text));
    }
    ctx.github.post_comment(key, &view::reply(comment, &answers)).await?;
    Ok(())
}

async fn carry_out(ctx: &Arc<Ctx>, key: &PullRequestKey, look: &Look, command: Command, comment: u64) -> Result<String> {
    match command {
        Command::Help => Ok(view::help()),
        Command::Why => Ok(match &look.seen.verdict {
            Some(verdict) => view::why(verdict),
            None if look.snapshot.pull.merged_at.is_some() => "It is merged.".into(),
            None => "It was closed without a merge.".into(),
        }),
        Command::Preview => Ok(match &look.shown {
            Some(shown) => {
                format!("The preview is up to date with `{}`: {}", look.snapshot.pull.head.sha.short(), view::quoted(&shown.text.title))
            }
            None => "The pull request is not open any more: there is nothing to preview.".into(),
        }),
        Command::Adopt => {
            let mut lines = Vec::new();
            for target in &look.touched {
                let application = target.key(&key.repo);
                if ctx.home.annotate(&application, crate::cluster::home::ADOPT, Some("true")).await? {
                    ctx.applications.put(application.clone());
                    lines.push(format!("- `{}` takes over what is there", application.title()));
                }
            }
            Ok(if lines.is_empty() {
                "No application of this pull request is known yet: give the command once it is merged.".into()
            } else {
                lines.join("\n")
            })
        }
        Command::Take => take(ctx, key, look).await,
        Command::ConfirmPrune => {
            let mut lines = Vec::new();
            let mut applications: Vec<_> = look.touched.iter().map(|target| target.key(&key.repo)).collect();
            applications.extend(retired_by(ctx, key, look).await?);
            for application in applications {
                let status = ctx.home.application(&application).await?.and_then(|object| object.status);
                let Some(confirm) = status.and_then(|status| status.confirm) else { continue };
                ctx.home.annotate(&application, crate::cluster::home::CONFIRM_PRUNE, Some(&confirm)).await?;
                ctx.applications.put(application.clone());
                lines.push(format!("- `{}`: the deletions that `{confirm}` names are confirmed", application.title()));
            }
            Ok(if lines.is_empty() { "No deletion waits for a confirmation.".into() } else { lines.join("\n") })
        }
        Command::Sync => {
            let mut lines = Vec::new();
            for target in &look.touched {
                let application = target.key(&key.repo);
                ctx.home.annotate(&application, crate::cluster::home::SYNC_REQUEST, Some(&comment.to_string())).await?;
                ctx.applications.put(application.clone());
                lines.push(format!("- `{}` is being synced to `{}`", application.title(), look.base.commit.short()));
            }
            Ok(match lines.is_empty() {
                true => "This pull request touches no application: there is nothing to sync.".into(),
                false => format!("{}\n\nThe outcome is the commit status `windlass/sync`.", lines.join("\n")),
            })
        }
    }
}

/// Applications that the configuration has no more, by this pull request: their directory went with it, or it changed the
/// configuration itself.
async fn retired_by(ctx: &Arc<Ctx>, key: &PullRequestKey, look: &Look) -> Result<Vec<ApplicationKey>> {
    let merged =
        look.snapshot.pull.merged_at.and(look.snapshot.pull.merge_commit_sha.as_ref()).and_then(|sha| sha.parse::<CommitSha>().ok());
    let Some(commit) = merged else { return Ok(Vec::new()) };
    let mut gone = Vec::new();
    for object in ctx.home.applications().await?.into_iter().filter(|object| object.spec.repository == key.repo) {
        let application = ApplicationKey { repo: key.repo.clone(), application: object.spec.application, stage: object.spec.stage };
        if look.base.target(&application).is_none() {
            gone.push((application, object.spec.path));
        }
    }
    let at = commit.clone();
    ctx.mirror(&key.repo, move |mirror| {
        let Some(parent) = mirror.parent(&at)? else { return Ok(Vec::new()) };
        let (before, after) = (mirror.files(mirror.tree(&parent)?)?, mirror.files(mirror.tree(&at)?)?);
        let file = crate::domain::catalog::FILE;
        let configured = before.get(file) != after.get(file);
        let under = |files: &crate::git::Listing, path: &str| files.keys().any(|file| file.starts_with(&format!("{path}/")));
        Ok(gone.into_iter().filter(|(_, path)| configured || under(&before, path) && !under(&after, path)).map(|(key, _)| key).collect())
    })
    .await
}

/// Has the fields taken that the preview says others hold. Kept with the application, so that the sync knows it too; the
/// preview is made anew.
async fn take(ctx: &Arc<Ctx>, key: &PullRequestKey, look: &Look) -> Result<String> {
    let (mut lines, mut taken) = (Vec::new(), BTreeSet::new());
    for app in look.shown.iter().flat_map(|shown| &shown.preview.applications) {
        let held = app.plan.problems().flat_map(|change| {
            let fields = change.notes.undecided.iter().flat_map(|(_, paths)| paths);
            fields.map(|path| FieldRule { kind: Some(change.key.kind.clone()), name: Some(change.key.name.clone()), path: path.clone() })
        });
        let held: Vec<_> = held.collect();
        if held.is_empty() {
            continue;
        }
        let known = ctx.home.application(&app.key).await?;
        let mut rules = super::guards::taken(known.as_ref());
        rules.extend(held.iter().filter(|rule| !rules.contains(rule)).cloned().collect::<Vec<_>>());
        let text = serde_json::to_string(&rules).unwrap_or_default();
        if !ctx.home.annotate(&app.key, crate::cluster::home::TAKE, Some(&text)).await? {
            lines.push(format!("- `{}` was never synced: write a `take` rule into windlass.yaml", app.key.title()));
            continue;
        }
        let fields: Vec<_> = held.iter().map(|rule| view::code(&rule.path)).collect();
        lines.push(format!("- `{}` takes {}", app.key.title(), fields.join(", ")));
        ctx.applications.put(app.key.clone());
        taken.insert(app.key.clone());
    }
    if lines.is_empty() {
        return Ok("No field waits for that: the preview names none that others hold.".into());
    }
    anew(ctx, &key.repo, &taken, |_| true);
    Ok(lines.join("\n"))
}

/// Something became different of applications: previews of them that tell of it are made anew.
pub fn anew(ctx: &Ctx, repo: &RepoName, applications: &BTreeSet<ApplicationKey>, tells: impl Fn(&ApplicationPreview) -> bool) {
    locked(&ctx.memory.renewed).extend(applications.iter().map(|key| (key.clone(), Instant::now())));
    let stale = |app: &ApplicationPreview| applications.contains(&app.key) && tells(app);
    let mut previews = locked(&ctx.memory.previews);
    let of = |(key, shown): (&PullRequestKey, &Arc<Shown>)| {
        (key.repo == *repo && shown.preview.applications.iter().any(&stale)).then(|| key.clone())
    };
    for key in previews.iter().filter_map(of).collect::<Vec<_>>() {
        previews.remove(&key);
        ctx.pulls.put(key);
    }
}
