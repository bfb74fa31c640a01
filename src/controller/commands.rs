//! Carries out the commands of a comment, and answers them in one reply.
//!
//! A command that changes a stage asks what the stage's policy asks: where it
//! needs approvals, the person who gives the command must be one who may
//! approve there and had no hand in the pull request, and where it needs more
//! than one, so many people have to give it. What deletes is only taken on a
//! pull request that is merged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::ResourceExt as _;

use super::pull_request::{Look, anew};
use super::{Error, Event, Reader, Result, Writer, authority};
use crate::cluster::home;
use crate::domain::approvals::{Case, Writers};
use crate::domain::catalog::{FILE, Stage, Target};
use crate::domain::command::{Command, Permission, Power};
use crate::domain::ownership::FieldRule;
use crate::domain::pull_request::Ask;
use crate::domain::{ApplicationKey, PullRequestKey};
use crate::view;

/// Carries out the commands of one comment, then answers it in one new comment.
pub async fn answer(ctx: &Writer, key: &PullRequestKey, look: &Look, ask: &Ask) -> Result<()> {
    let mut answers = Vec::new();
    for line in &ask.lines {
        let text = match &line.meaning {
            Err(wrong) => view::mistake(wrong),
            Ok(_) if ask.edited => view::EDITED_COMMAND.into(),
            Ok(_) if ask.interrupted => view::INTERRUPTED_COMMAND.into(),
            Ok(command) => match refused(look, *command) {
                Some(why) => why.into(),
                None => carry_out(ctx, key, look, *command, ask).await?,
            },
        };
        answers.push((line.clone(), text));
    }
    ctx.to_github()
        .post_comment(key, &view::reply(ask.comment, &answers))
        .await?;
    ctx.cache.pulls.answered.insert(ask.comment, ());
    Ok(())
}

/// Why a command is not taken on this pull request at all.
fn refused(look: &Look, command: Command) -> Option<&'static str> {
    let pull = &look.snapshot.pull;
    match command.power() {
        Power::Delete if pull.merged_at.is_none() => Some(view::ONLY_MERGED),
        Power::Stage | Power::Delete if pull.draft && pull.is_open() => Some(view::NO_DRAFTS),
        _ => None,
    }
}

async fn carry_out(
    ctx: &Writer,
    key: &PullRequestKey,
    look: &Look,
    command: Command,
    ask: &Ask,
) -> Result<String> {
    match command {
        Command::Help => Ok(view::help()),
        Command::Why => Ok(match &look.seen.verdict {
            Some(verdict) => view::why(verdict),
            None if look.snapshot.pull.merged_at.is_some() => "It is merged.".into(),
            None => "It was closed without a merge.".into(),
        }),
        Command::Preview => Ok(match &look.shown {
            Some(shown) => {
                format!(
                    "The preview is up to date with `{}`: {}",
                    look.snapshot.pull.head.sha.short(),
                    view::quoted(&shown.text.title)
                )
            }
            None => "The pull request is not open any more: there is nothing to preview.".into(),
        }),
        Command::AcceptUnseen => Ok(match &look.shown {
            Some(shown) if shown.text.unseen > 0 => match look.unseen_refusal(&ask.author) {
                None => format!(
                    "{} accepts the changes that the preview of `{}` does not show.",
                    view::code(&ask.author),
                    look.snapshot.pull.head.sha.short()
                ),
                Some(why) => format!("That does not count: {}.", view::quoted(&why)),
            },
            _ => "The preview shows every change: there is nothing to accept.".into(),
        }),
        Command::Adopt => {
            let mut lines = Vec::new();
            for target in &look.changes.touched {
                let application = target.key(&key.repo);
                let Some(object) = ctx.home.application(&application).await? else {
                    continue;
                };
                let waits = object.status.unwrap_or_default().adoption;
                if waits.is_empty() {
                    continue;
                }
                lines.push(
                    match wish(
                        ctx,
                        key,
                        look,
                        (command, ask),
                        &application,
                        "adopt",
                        (home::ADOPT, "true"),
                    )
                    .await?
                    {
                        Err(why) => why,
                        Ok(_) => format!(
                            "- `{}` takes over {}",
                            application.title(),
                            view::listed(&waits)
                        ),
                    },
                );
            }
            Ok(lines_or(
                lines,
                "Nothing waits to be adopted in the applications of this pull request.",
            ))
        }
        Command::Take => take(ctx, key, look, ask).await,
        Command::ConfirmPrune => {
            let mut lines = Vec::new();
            let mut applications: Vec<_> = look
                .changes
                .touched
                .iter()
                .map(|target| target.key(&key.repo))
                .collect();
            applications.extend(retired_by(ctx, key, look).await?);
            for application in applications {
                let status = ctx
                    .home
                    .application(&application)
                    .await?
                    .and_then(|object| object.status)
                    .unwrap_or_default();
                let Some(confirm) = status.confirm else {
                    continue;
                };
                lines.push(
                    match wish(
                        ctx,
                        key,
                        look,
                        (command, ask),
                        &application,
                        &confirm,
                        (home::CONFIRM_PRUNE, &confirm),
                    )
                    .await?
                    {
                        Err(why) => why,
                        Ok(_) => format!(
                            "- `{}` deletes {}",
                            application.title(),
                            view::listed(&status.to_confirm)
                        ),
                    },
                );
            }
            Ok(lines_or(lines, "No deletion waits for a confirmation."))
        }
        Command::Sync => {
            let mut lines = Vec::new();
            let mut any = false;
            for target in &look.changes.touched {
                let application = target.key(&key.repo);
                let (to, wanted) = (&look.base.commit, ask.comment.to_string());
                lines.push(
                    match wish(
                        ctx,
                        key,
                        look,
                        (command, ask),
                        &application,
                        to.as_str(),
                        (home::SYNC_REQUEST, &wanted),
                    )
                    .await?
                    {
                        Err(why) => why,
                        Ok(_) => {
                            any = true;
                            format!(
                                "- `{}` is being synced to `{}`",
                                application.title(),
                                to.short()
                            )
                        }
                    },
                );
            }
            let text = lines_or(
                lines,
                "This pull request touches no application: there is nothing to sync.",
            );
            Ok(if any {
                format!("{text}\n\nThe outcome is the commit status `windlass/sync`.")
            } else {
                text
            })
        }
    }
}

fn lines_or(lines: Vec<String>, otherwise: &str) -> String {
    if lines.is_empty() {
        otherwise.into()
    } else {
        lines.join("\n")
    }
}

/// Has an application do what a command wants, by an annotation, once enough people have given it; otherwise a line that
/// says who has to. False: nothing is known of the application yet, so there was nothing to annotate.
async fn wish(
    ctx: &Writer,
    key: &PullRequestKey,
    look: &Look,
    (command, ask): (Command, &Ask),
    application: &ApplicationKey,
    subject: &str,
    (annotation, value): (&str, &str),
) -> Result<std::result::Result<bool, String>> {
    let object = ctx.home.application(application).await?;
    let handled: Vec<_> = kept(object.as_ref(), home::HANDLED)
        .split_whitespace()
        .collect();
    let id = format!("{}-{}", ask.comment, command.word());
    if handled.contains(&id.as_str()) {
        // What this command has brought about it does not bring about again. Where windlass was stopped before it could
        // say so, it says so now.
        if !ctx.cache.pulls.answered.contains_key(&ask.comment) {
            return Ok(Ok(true));
        }
        let title = application.title();
        return Ok(Err(format!(
            "- `{title}`: was done when this comment was seen first; to have it done again, give the command anew"
        )));
    }
    if let Err(why) = quorum(ctx, key, look, (command, ask), application, subject).await? {
        return Ok(Err(why));
    }
    let handled: Vec<_> = handled.into_iter().chain([id.as_str()]).collect();
    let handled = handled[handled.len().saturating_sub(MOST_HANDLED)..].join(" ");
    // All or nothing: stopped in between, it would be done twice, or count who has given it for the next one.
    let wish = [
        (annotation, Some(value)),
        (home::HANDLED, Some(handled.as_str())),
        (&said_by(command), None),
    ];
    let known = ctx.to_home().annotate_all(application, &wish).await?;
    ctx.emit(&Event::Request(application.clone()));
    Ok(Ok(known))
}

/// Whether enough people who may decide about an application's stage have given a command about the same thing
/// (`subject`); otherwise a line that says who has to. Who has given it so far is kept with the application.
async fn quorum(
    ctx: &Writer,
    key: &PullRequestKey,
    look: &Look,
    (command, ask): (Command, &Ask),
    application: &ApplicationKey,
    subject: &str,
) -> Result<std::result::Result<(), String>> {
    let title = application.title();
    let Some(stage) = stage_of(look, application) else {
        return Ok(Err(format!(
            "- `{title}`: not done. The configuration cannot be read, and so not who may decide this"
        )));
    };
    if stage.approvals == 0 && stage.approvers.is_empty() {
        return Ok(Ok(()));
    }
    let target = look.base.target(application).or_else(|| {
        look.changes
            .touched
            .iter()
            .find(|target| target.key(&key.repo) == *application)
    });
    let known = ctx.home.application(application).await?;
    // One that Git has no more is judged by its stage.
    let targets: Vec<Target> = match (target, &known) {
        (Some(target), _) => vec![target.clone()],
        (None, Some(object)) => vec![Target {
            stage: stage.clone(),
            ..super::application::target_of(object)
        }],
        (None, None) => Vec::new(),
    };
    let policies = authority::policies(
        ctx,
        key,
        &targets,
        &look.changes,
        std::slice::from_ref(&ask.author),
    )
    .await?;
    let writers = match stage.approvals {
        0 => Writers::known([]),
        _ => authority::writers(ctx, key, &look.snapshot).await?,
    };
    let case = Case {
        head: &look.snapshot.pull.head.sha,
        previewed_at: None,
        writers: &writers,
        approvers: policies
            .first()
            .and_then(|policy| policy.approvers.as_ref()),
    };
    if let Err(why) = case.may_approve(&ask.author, ask.permission >= Permission::Write) {
        let why = view::quoted(&why.to_string());
        return Ok(Err(format!(
            "- `{title}`: not done. {} may not decide that for this stage: {why}",
            view::code(&ask.author)
        )));
    }
    let needed = stage.approvals.max(1) as usize;
    if needed == 1 {
        return Ok(Ok(()));
    }
    let about = format!("{} {subject}", command.word());
    // As it is now: others may have given the command meanwhile.
    let Some(object) = ctx.home.application(application).await? else {
        return Ok(Err(format!(
            "- `{title}`: it needs {needed} people's word, which can be kept once it was looked at"
        )));
    };
    let known = kept(Some(&object), &said_by(command));
    let said = known.strip_prefix(&format!("{about} ")).unwrap_or_default();
    let mut people: BTreeSet<String> = said.split_whitespace().map(str::to_string).collect();
    people.insert(ask.author.to_ascii_lowercase());
    // Kept until the command is carried out: cut off before that, it is carried out the next time.
    if people.len() >= needed {
        return Ok(Ok(()));
    }
    let names: Vec<_> = people.iter().map(String::as_str).collect();
    ctx.to_home()
        .annotate(
            application,
            &said_by(command),
            Some(&format!("{about} {}", names.join(" "))),
        )
        .await?;
    Ok(Err(format!(
        "- `{title}`: {} of {needed} people who may decide this have said so; another one has to give the command",
        people.len()
    )))
}

/// Commands that were carried out that an application remembers.
const MOST_HANDLED: usize = 50;

/// What an annotation of an application says; empty: there is none.
fn kept<'a>(object: Option<&'a home::Application>, annotation: &str) -> &'a str {
    object
        .and_then(|object| object.annotations().get(annotation))
        .map_or("", String::as_str)
}

/// The annotation that keeps who has given a command.
fn said_by(command: Command) -> String {
    format!("{}-{}", home::SAID, command.word())
}

/// The policy of an application's stage. One that the base has no more is judged by the strictest that it has.
fn stage_of(look: &Look, application: &ApplicationKey) -> Option<Stage> {
    if let Some(target) = look.base.target(application) {
        return Some(target.stage.clone());
    }
    let catalog = &look.base.configured()?.catalog;
    catalog
        .stage(&application.stage)
        .or_else(|| catalog.stages.iter().max_by_key(|stage| stage.approvals))
        .cloned()
}

/// Applications that the configuration has no more, by this pull request: their directory went with it, or it changed the
/// configuration itself.
async fn retired_by(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    look: &Look,
) -> Result<Vec<ApplicationKey>> {
    // What cannot be read has retired nothing.
    if look.base.configured().is_none() {
        return Ok(Vec::new());
    }
    let Some(commit) = look.snapshot.pull.merged_as() else {
        return Ok(Vec::new());
    };
    let mut gone = Vec::new();
    for object in ctx
        .home
        .applications()
        .await?
        .into_iter()
        .filter(|object| object.spec.repository == key.repo)
    {
        let application = ApplicationKey {
            repo: key.repo.clone(),
            application: object.spec.application,
            stage: object.spec.stage,
        };
        if look.base.target(&application).is_none() {
            gone.push((application, object.spec.path));
        }
    }
    let at = commit.clone();
    ctx.mirror(&key.repo, move |mirror| {
        let Some(parent) = mirror.parent(&at)? else {
            return Ok(Vec::new());
        };
        let (before, after) = (
            mirror.files(mirror.tree(&parent)?)?,
            mirror.files(mirror.tree(&at)?)?,
        );
        let configured = before.get(FILE) != after.get(FILE);
        let under = |files: &crate::git::Listing, path: &str| {
            files
                .keys()
                .any(|file| file.starts_with(&format!("{path}/")))
        };
        Ok(gone
            .into_iter()
            .filter(|(_, path)| configured || under(&before, path) && !under(&after, path))
            .map(|(key, _)| key)
            .collect())
    })
    .await
}

/// Has the fields taken that the preview says others hold. Kept with the application, so that the sync knows it too; the
/// preview is made anew.
async fn take(ctx: &Writer, key: &PullRequestKey, look: &Look, ask: &Ask) -> Result<String> {
    let (mut lines, mut taken) = (Vec::new(), BTreeSet::new());
    for app in look
        .shown
        .iter()
        .flat_map(|shown| &shown.preview.applications)
    {
        let held = app.plan.problems().flat_map(|change| {
            let fields = change.notes.undecided.iter().flat_map(|(_, paths)| paths);
            fields.map(|path| FieldRule {
                kind: Some(change.key.kind.clone()),
                name: Some(change.key.name.clone()),
                path: path.clone(),
            })
        });
        let held: Vec<_> = held.collect();
        if held.is_empty() {
            continue;
        }
        let known = ctx.home.application(&app.key).await?;
        let mut rules = super::application::taken(known.as_ref());
        rules.extend(
            held.iter()
                .filter(|rule| !rules.contains(rule))
                .cloned()
                .collect::<Vec<_>>(),
        );
        let text = serde_json::to_string(&rules).unwrap_or_default();
        match wish(
            ctx,
            key,
            look,
            (Command::Take, ask),
            &app.key,
            &text,
            (home::TAKE, &text),
        )
        .await?
        {
            Err(why) => lines.push(why),
            Ok(false) => lines.push(format!(
                "- `{}` was never synced: write a `take` rule into windlass.yaml",
                app.key.title()
            )),
            Ok(true) => {
                let fields: Vec<_> = held.iter().map(|rule| view::code(&rule.path)).collect();
                lines.push(format!(
                    "- `{}` takes {}",
                    app.key.title(),
                    fields.join(", ")
                ));
                taken.insert(app.key.clone());
            }
        }
    }
    if lines.is_empty() {
        return Ok("No field waits for that: the preview names none that others hold.".into());
    }
    anew(ctx, &key.repo, &taken, |_| true);
    Ok(lines.join("\n"))
}

/// Comments with command lines that have no answer of ours, of people who may write. Readers get neither an answer nor a
/// reaction: each would be a write of ours that anybody can cause.
pub async fn asks(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    snapshot: &crate::github::PullSnapshot,
) -> Result<Vec<Ask>> {
    let app = ctx.github.identity().await?;
    let now = jiff::Timestamp::from_second(ctx.now().as_second()).unwrap_or_else(|_| ctx.now());
    let ours: Vec<_> = snapshot
        .comments
        .iter()
        .filter(|comment| comment.is_ours(app))
        .collect();
    let replies = ours
        .iter()
        .filter_map(|comment| Some((view::reply_of(comment.text())?, *comment)));
    // We never edit a reply: one that was edited is not our word any more, and may name a comment that it was not about.
    let (edited, whole): (Vec<_>, Vec<_>) =
        replies.partition(|(_, comment)| comment.updated_at > comment.created_at);
    let answered: BTreeSet<u64> = whole.iter().map(|(asked, _)| *asked).collect();
    let author_of: BTreeMap<u64, &str> = snapshot
        .comments
        .iter()
        .filter_map(|comment| Some((comment.id, comment.user.as_ref()?.login.as_str())))
        .collect();
    let recent = |at: jiff::Timestamp| now.duration_since(at) < BUDGET_WINDOW;
    let mut answers: BTreeMap<&str, usize> = BTreeMap::new();
    for (asked, _) in whole
        .iter()
        .filter(|(_, comment)| recent(comment.created_at))
    {
        *answers
            .entry(author_of.get(asked).copied().unwrap_or_default())
            .or_default() += 1;
    }
    let mut permissions: BTreeMap<&str, Permission> = BTreeMap::new();
    let mut asks = Vec::new();
    for comment in &snapshot.comments {
        let Some(author) = comment.user.as_ref().filter(|user| user.kind == "User") else {
            continue;
        };
        if answered.contains(&comment.id) || comment.performed_via_github_app.is_some() {
            continue;
        }
        let lines = crate::domain::command::parse(comment.text());
        if lines.is_empty() {
            continue;
        }
        let permission = match permissions.get(author.login.as_str()) {
            Some(known) => *known,
            None => {
                let permission = ctx.github.permission(&key.repo, &author.login).await?;
                permissions.insert(&author.login, permission);
                permission
            }
        };
        let total: usize = answers.values().sum();
        let own = answers.entry(&author.login).or_default();
        if permission < Permission::Write || *own >= MOST_ANSWERS || total >= MOST_ANSWERS_IN_ALL {
            tracing::debug!(pr = %key, author = author.login, "a command is passed over");
            continue;
        }
        *own += 1;
        let acknowledged = comment
            .reactions
            .as_ref()
            .is_some_and(|reactions| reactions.eyes > 0);
        // Seen, and then? The answer was edited or deleted, or windlass was away for long. Carrying it out again could
        // do at another time what was meant then.
        let lost = edited
            .iter()
            .any(|(_, reply)| reply.created_at >= comment.created_at);
        let interrupted =
            acknowledged && (lost || now.duration_since(comment.created_at) > INTERRUPTED_AFTER);
        asks.push(Ask {
            comment: comment.id,
            author: author.login.clone(),
            permission,
            lines,
            acknowledged,
            edited: comment.updated_at > comment.created_at,
            interrupted,
        });
    }
    Ok(asks)
}

/// So many commands of one person, and of all, are answered on a pull request within an hour; the rest has to wait.
const MOST_ANSWERS: usize = 20;
const MOST_ANSWERS_IN_ALL: usize = 60;
const BUDGET_WINDOW: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
/// A command that was seen so long ago and has no answer is not carried out any more.
const INTERRUPTED_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// A failed answer stops nothing else: it is tried again at the next look.
pub async fn answer_or_log(
    ctx: &Writer,
    key: &PullRequestKey,
    look: &Look,
    comment: u64,
) -> Result<()> {
    let Some(ask) = look.seen.asks.iter().find(|ask| ask.comment == comment) else {
        return Ok(());
    };
    match answer(ctx, key, look, ask).await {
        Err(Error::GitHub(crate::github::Error::Refused { message, .. })) => {
            tracing::warn!(pr = %key, comment, message, "a command could not be answered");
            Ok(())
        }
        other => other,
    }
}
