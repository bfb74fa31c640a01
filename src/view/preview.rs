//! A preview's comment and check run.
//!
//! The fullest form that fits is taken: whole differences, differences without
//! context, equal differences told once, names alone. Which form it is, is
//! said; every deletion and recreation is named in each of them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{MOST_BYTES, code, fence, one_line, quoted, render, sticky, told};
use crate::domain::effect::{self, Effect};
use crate::domain::image::ImageRef;
use crate::domain::plan::{self, Action, Change, Fields, Plan, Proof};
use crate::domain::pull_request::{ApplicationPreview, Failure, Preview, Wanted};

/// What a preview becomes: the sticky comment, and the check run's three texts.
pub struct PreviewText {
    pub comment: Wanted,
    pub title: String,
    pub summary: String,
    pub text: String,
    /// What follows on the text, where the whole does not fit: each a check run's text of its own.
    pub pages: Vec<String>,
    /// How many changes are shown nowhere, since they do not fit.
    pub unseen: usize,
}

/// How much is told, from most to least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Full,
    /// Only the lines that differ.
    Tight,
    /// Equal differences once.
    Grouped,
    Names,
}

const FORMS: [Form; 4] = [Form::Full, Form::Tight, Form::Grouped, Form::Names];
/// What the comment's frame takes at most, beside the details.
const FRAME: usize = 4_000;

#[derive(Serialize)]
struct PreviewView {
    verdict: String,
    alerts: Vec<Alert>,
    details: String,
    head: String,
    base: String,
    duration: String,
    digest: String,
}

#[derive(Serialize, Clone)]
struct Alert {
    kind: &'static str,
    text: String,
}

#[derive(Serialize)]
struct DetailsView {
    images: Vec<ImageView>,
    /// Whether any image's source is known.
    sources: bool,
    applications: Vec<ApplicationView>,
    groups: Vec<GroupView>,
    /// Said where the form is not the full one.
    form: &'static str,
}

#[derive(Serialize)]
struct ImageView {
    application: String,
    name: String,
    from: String,
    to: String,
    source: String,
}

#[derive(Serialize)]
struct ApplicationView {
    title: String,
    cluster: String,
    /// For the table: what happens, how well it is known, what else.
    happens: String,
    proof: String,
    error: Option<String>,
    notes: Vec<String>,
    changes: Vec<ChangeView>,
    buckets: Vec<Bucket>,
}

#[derive(Serialize)]
pub(super) struct Bucket {
    pub title: String,
    pub lines: Vec<String>,
}

#[derive(Serialize)]
struct ChangeView {
    key: String,
    action: String,
    size: String,
    open: bool,
    problem: Option<String>,
    facts: Vec<String>,
    diff: Option<String>,
}

#[derive(Serialize)]
struct OneView {
    change: ChangeView,
}

#[derive(Serialize)]
struct GroupView {
    objects: Vec<String>,
    diff: String,
}

pub fn preview(preview: &Preview) -> PreviewText {
    let parts = parts(preview);
    let whole = details(&parts, FORMS[0]);
    let (mut pages, unseen) = paged(&parts, &whole);
    let unseen_words = if unseen > 0 {
        format!(" · **{} not shown**", counted(unseen, "change"))
    } else {
        String::new()
    };
    let verdict = format!("{}{unseen_words}", verdict_line(preview));
    let alerts = alerts(preview);
    let duration = match preview.duration.as_secs_f64() {
        short if short < 0.1 => format!("{:.2} s", short),
        long => format!("{long:.1} s"),
    };
    let digest = preview.digest();
    let body = |details: &str| {
        render(
            "preview.md",
            PreviewView {
                verdict: verdict.clone(),
                alerts: alerts.clone(),
                details: details.trim().into(),
                head: preview.head.short().into(),
                base: preview.base.short().into(),
                duration: duration.clone(),
                digest: digest[..16].into(),
            },
        )
    };
    let room = MOST_BYTES - FRAME;
    // Most previews fit whole: the shorter forms are made only where they are needed.
    let comment = match whole.len() <= room {
        true => body(&whole),
        false => match FORMS[1..]
            .iter()
            .map(|form| details(&parts, *form))
            .find(|details| details.len() <= room)
        {
            Some(details) => body(&details),
            None => body(&brief(&parts, room)),
        },
    };
    let summary = alerts
        .iter()
        .map(|alert| alert.text.clone())
        .collect::<Vec<_>>()
        .join("\n\n");
    PreviewText {
        comment: sticky(&comment, &format!(" · {duration}"), false),
        title: plain(&verdict),
        summary: if summary.is_empty() {
            verdict
        } else {
            format!("{verdict}\n\n{summary}")
        },
        text: if pages.is_empty() {
            whole
        } else {
            pages.remove(0)
        },
        pages,
        unseen,
    }
}

/// The verdict, without marks.
pub fn title(preview: &Preview) -> String {
    plain(&verdict_line(preview))
}

/// Text without Markdown's marks.
fn plain(verdict: &str) -> String {
    verdict.replace("**", "").replace('`', "")
}

/// Check runs that hold what does not fit into one, at most.
const MOST_PAGES: usize = 10;

/// The whole of a preview that is too long for one text, in pages, and how many changes are on none of them; no pages
/// where one text holds it. What is dangerous comes first.
fn paged(parts: &[Part<'_>], whole: &str) -> (Vec<String>, usize) {
    if whole.len() <= MOST_BYTES {
        return (Vec::new(), 0);
    }
    let mut all: Vec<_> = parts
        .iter()
        .enumerate()
        .flat_map(|(at, part)| part.told.iter().map(move |told| (at, part, told)))
        .collect();
    all.sort_by_key(|(at, _, told)| (danger(told.change), *at));
    let mut pages = vec![String::new()];
    let (mut unseen, mut last) = (0, None);
    for (at, Part { app, .. }, told) in all {
        let mut block = render(
            "change.md",
            OneView {
                change: change_view(told, Form::Full, false),
            },
        );
        let long = block.len() > MOST_BYTES - 400;
        if long {
            unseen += 1;
            block = brief_change(told.change);
        }
        if last != Some(at) {
            block = format!(
                "**{}** on {}\n\n{block}",
                app.key.title(),
                code(&app.cluster)
            );
            last = Some(at);
        }
        let full = pages
            .last()
            .is_some_and(|page| page.len() + block.len() + 200 > MOST_BYTES);
        if full && pages.len() == MOST_PAGES {
            unseen += usize::from(!long);
            continue;
        }
        if full {
            pages.push(String::new());
        }
        if let Some(page) = pages.last_mut() {
            page.push_str(&block);
            page.push('\n');
        }
    }
    if unseen > 0
        && let Some(page) = pages.first_mut()
    {
        page.insert_str(
            0,
            &format!(
                "{} not shown, since they are too long: `windlass plan` prints them.\n\n",
                counted(unseen, "change")
            ),
        );
    }
    (pages, unseen)
}

/// What a reviewer has to see first: what is lost, what gives rights or reaches beyond a namespace, what runs; data last.
fn danger(change: &Change) -> u8 {
    match (&change.action, change.key.kind.as_str()) {
        (Action::Prune | Action::Recreate, _) => 0,
        _ if change.problem.is_some() => 0,
        _ if change.key.namespace.is_none() || change.key.group == "rbac.authorization.k8s.io" => 1,
        (_, "ConfigMap" | "Secret") => 4,
        (
            _,
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "CronJob" | "Pod"
            | "ServiceAccount" | "NetworkPolicy",
        ) => 2,
        _ => 3,
    }
}

/// A change whose difference alone is longer than a page.
fn brief_change(change: &Change) -> String {
    format!(
        "- {} {}: its difference is longer than a page: `windlass plan` prints it.\n",
        code(&change.key.to_string()),
        change.action.word()
    )
}

fn counted(number: usize, word: &str) -> String {
    if number == 1 {
        format!("1 {word}")
    } else {
        format!("{number} {word}s")
    }
}

/// How often each thing happens in plans: `2 create`, `1 prune`.
fn counts<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> Vec<String> {
    let plans: Vec<_> = plans.into_iter().collect();
    let actions = [
        Action::Create,
        Action::Configure,
        Action::Recreate,
        Action::Prune,
    ];
    let counted = actions.iter().map(|action| {
        (
            plans.iter().map(|plan| plan.count(action)).sum::<usize>(),
            action,
        )
    });
    let mut words: Vec<_> = counted
        .filter(|(count, _)| *count > 0)
        .map(|(count, action)| format!("{count} {}", action.word()))
        .collect();
    let hooks: usize = plans.iter().map(|plan| plan.hooks()).sum();
    if hooks > 0 {
        words.push(format!(
            "{} run{}",
            counted_words(hooks),
            if hooks == 1 { "s" } else { "" }
        ));
    }
    words
}

fn counted_words(hooks: usize) -> String {
    counted(hooks, "hook")
}

fn verdict_line(preview: &Preview) -> String {
    match &preview.failure {
        Some(Failure::Conflict(_)) => {
            return "**Conflicts with the base branch** · nothing was previewed".into();
        }
        Some(Failure::Fork) => return "**Not previewed** · the head is in a fork".into(),
        Some(Failure::TooLarge(_)) => return "**Not previewed** · the tree is too large".into(),
        Some(Failure::Killed) => {
            return "**Not previewed** · windlass ended while it looked at this commit".into();
        }
        Some(Failure::Configuration(_)) => {
            return "**The configuration cannot be read** · nothing was previewed".into();
        }
        None => {}
    }
    let changed = preview.applications.len();
    if changed == 0 {
        return "**No application changes**".into();
    }
    let mut parts = vec![format!(
        "**{changed} of {} {}**",
        counted(preview.total, "application"),
        if changed == 1 { "changes" } else { "change" }
    )];
    parts.extend(counts(preview.applications.iter().map(|app| &app.plan)));
    let plans = || preview.applications.iter().map(|app| &app.plan);
    let pods: i64 = plans().map(effect::pods_rolled).sum();
    if pods > 0 {
        parts.push(format!(
            "rolls {}",
            counted(usize::try_from(pods).unwrap_or_default(), "pod")
        ));
    }
    let failed: usize = preview
        .applications
        .iter()
        .map(|app| usize::from(app.error.is_some()) + app.plan.problems().count())
        .sum();
    if failed > 0 {
        parts.push(format!("**{failed} cannot be applied**"));
    } else if plans().all(Plan::is_empty) {
        parts.push("the cluster stays as it is".into());
    } else if plans()
        .flat_map(Plan::effective)
        .all(|change| change.proof == Proof::Server)
    {
        parts.push("verified by the cluster".into());
    } else {
        parts.push("partly verified by the cluster".into());
    }
    parts.join(" · ")
}

/// At most two: one for what cannot be undone or done, one for what is done to others.
fn alerts(preview: &Preview) -> Vec<Alert> {
    let alert = |kind, text: String| vec![Alert { kind, text }];
    match &preview.failure {
        Some(Failure::Conflict(files)) => {
            let files: Vec<_> = files.iter().map(|file| code(file)).collect();
            return alert(
                "WARNING",
                format!(
                    "Base and head both changed {}. Update the branch.",
                    files.join(", ")
                ),
            );
        }
        Some(Failure::Fork) => {
            let text = "A fork's head is neither rendered nor sent to a cluster. Push the branch to this repository to have it previewed.";
            return alert("WARNING", text.into());
        }
        Some(Failure::TooLarge(why)) => {
            return alert(
                "CAUTION",
                format!("Nothing of this commit was rendered: {}.", quoted(why)),
            );
        }
        Some(Failure::Killed) => {
            let text = "windlass ended twice while it looked at this commit, so it does not try it again by itself. Make the change smaller, or give `/preview` to have it tried once more.";
            return alert("CAUTION", text.into());
        }
        Some(Failure::Configuration(error)) => {
            return alert(
                "CAUTION",
                format!("\n{}", told(error)).replace('\n', "\n> "),
            );
        }
        None => {}
    }
    let effective = || {
        preview
            .applications
            .iter()
            .flat_map(|app| app.plan.effective())
    };
    let named = |wanted: &dyn Fn(&Change) -> bool| {
        effective()
            .filter(|change| wanted(change))
            .map(|change| code(&change.key.to_string()))
            .collect::<Vec<_>>()
    };
    let mut grave = Vec::new();
    let failed = named(&|change| change.problem.is_some());
    if !failed.is_empty() {
        grave.push(format!(
            "{} cannot be applied, and with that nothing of the application.",
            list(&failed)
        ));
    }
    for (action, word) in [
        (Action::Prune, "Deletes"),
        (Action::Recreate, "Deletes and creates anew"),
    ] {
        let gone = named(&|change| {
            change.problem.is_none() && change.action == action && !change.is_hook()
        });
        if !gone.is_empty() {
            grave.push(format!("{word} {}.", list(&gone)));
        }
    }
    for effect in preview
        .applications
        .iter()
        .flat_map(|app| effect::effects(&app.plan))
        .filter(|effect| effect.grave)
    {
        grave.push(format!(
            "{}: {}.",
            code(&effect.key.to_string()),
            effect.text
        ));
    }
    let mut others = Vec::new();
    let drifted: Vec<_> = preview
        .applications
        .iter()
        .flat_map(|app| drift_lines(&app.drift))
        .collect();
    if !drifted.is_empty() {
        others.push(format!(
            "A sync sets back what others changed: {}.",
            list(&drifted)
        ));
    }
    let taken: Vec<_> = effective()
        .filter(|change| !change.notes.taken.is_empty())
        .map(|change| {
            format!(
                "{} of {}",
                holders(&change.notes.taken),
                code(&change.key.to_string())
            )
        })
        .collect();
    if !taken.is_empty() {
        others.push(format!("Takes {}.", list(&taken)));
    }
    let failed = failed.len();
    let mut alerts = Vec::new();
    if !grave.is_empty() {
        alerts.extend(alert(
            if failed > 0 { "CAUTION" } else { "WARNING" },
            grave.join("\n> "),
        ));
    }
    if !others.is_empty() {
        alerts.extend(alert("WARNING", others.join("\n> ")));
    }
    alerts
}

fn list(items: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = items
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if items.len() > SHOWN {
        format!("{shown} and {} more (listed below)", items.len() - SHOWN)
    } else {
        shown
    }
}

/// `.spec.replicas` from `kubectl-edit`.
fn holders(fields: &Fields) -> String {
    const SHOWN: usize = 6;
    let one = |(manager, paths): &(String, Vec<String>)| {
        let mut shown: Vec<_> = paths.iter().take(SHOWN).map(|path| code(path)).collect();
        if paths.len() > SHOWN {
            shown.push(format!("{} more", paths.len() - SHOWN));
        }
        format!("{} ({})", shown.join(", "), code(manager))
    };
    fields.iter().map(one).collect::<Vec<_>>().join(", ")
}

pub(super) fn drift_lines(drift: &Plan) -> Vec<String> {
    let line = |change: &Change| {
        let key = code(&change.key.to_string());
        match (&change.action, change.notes.reverted.is_empty()) {
            (Action::Create, _) => format!("{key} was deleted"),
            (_, true) => format!("{key} differs"),
            (_, false) => format!("{key} {}", holders(&change.notes.reverted)),
        }
    };
    drift
        .effective()
        .filter(|change| change.problem.is_none())
        .map(line)
        .collect()
}

fn details(parts: &[Part<'_>], form: Form) -> String {
    let total: usize = parts.iter().map(|part| part.told.len()).sum();
    let images = parts.iter().flat_map(|Part { app, .. }| {
        app.images.iter().map(|image| ImageView {
            application: code(&app.key.title()),
            name: code(&image.name),
            from: image_side(&image.from),
            to: image_side(&image.to),
            // Made of names and commits that were checked: no text of anybody's is in it.
            source: image
                .source
                .as_ref()
                .map(|(label, url)| format!("[{label}]({url})"))
                .unwrap_or_default(),
        })
    });
    let images: Vec<_> = images.collect();
    let groups = if form == Form::Grouped {
        groups(parts)
    } else {
        Vec::new()
    };
    render(
        "details.md",
        DetailsView {
            sources: images.iter().any(|image| !image.source.is_empty()),
            images,
            applications: parts
                .iter()
                .map(|part| application_view(part, form, total <= 3))
                .collect(),
            groups,
            form: match form {
                Form::Full => "",
                Form::Tight => {
                    "Only the lines that differ are shown: the whole is too long for a comment."
                }
                Form::Grouped => {
                    "Equal differences are shown once: the whole is too long for a comment."
                }
                Form::Names => "The differences are too long for a comment and are left out here.",
            },
        },
    )
}

/// Equal differences, with the objects that have them; the most common first.
fn groups(parts: &[Part<'_>]) -> Vec<GroupView> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for told in parts
        .iter()
        .flat_map(|part| &part.told)
        .filter(|told| told.change.problem.is_none())
    {
        found
            .entry(&told.tight)
            .or_default()
            .push(code(&told.change.key.to_string()));
    }
    let mut groups: Vec<_> = found
        .into_iter()
        .map(|(diff, objects)| GroupView {
            objects,
            diff: fence(diff),
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.objects.len()));
    groups
}

/// The last resort: names by kind and namespace, deletions and recreations first, and the differences that most objects
/// share, as much as fits.
fn brief(parts: &[Part<'_>], room: usize) -> String {
    let mut lines: BTreeMap<(u8, &str, &str, Option<&str>), Vec<String>> = BTreeMap::new();
    for Told { change, .. } in parts.iter().flat_map(|part| &part.told) {
        let rank = match (&change.problem, &change.action) {
            (_, Action::Prune | Action::Recreate) if !change.is_hook() => 0,
            (Some(_), _) => 1,
            _ => 2,
        };
        let word = if change.problem.is_some() {
            "cannot be applied"
        } else {
            change.action.word()
        };
        let (kind, namespace) = (change.key.kind.as_str(), change.key.namespace.as_deref());
        lines
            .entry((rank, word, kind, namespace))
            .or_default()
            .push(code(&change.key.name));
    }
    let mut out = String::from(
        "The whole is too long for a comment: it is in the check run `windlass/preview`. These are the names.\n\n",
    );
    let mut left_out = 0;
    for ((rank, word, kind, namespace), names) in lines {
        let title = |code: fn(&str) -> String| {
            let place = namespace
                .map(|namespace| format!(" in {}", code(namespace)))
                .unwrap_or_default();
            format!("{word}: {}{place}", code(kind))
        };
        // What is lost stays in sight.
        let folded = rank == 2 && names.len() > MOST_NAMES;
        let (before, after) = match folded {
            true => (
                format!(
                    "\n<details><summary>{}: {}</summary>\n\n",
                    title(code_element),
                    names.len()
                ),
                "\n\n</details>\n\n",
            ),
            false => (format!("- {}: ", title(code)), "\n"),
        };
        if out.len() + before.len() + after.len() + 200 > room {
            left_out += names.len();
            continue;
        }
        out.push_str(&before);
        let mut separator = "";
        for name in names {
            if out.len() + name.len() + after.len() + 200 > room {
                left_out += 1;
                continue;
            }
            out.push_str(separator);
            out.push_str(&name);
            separator = ", ";
        }
        out.push_str(after);
    }
    if left_out > 0 {
        out.push_str(&format!(
            "\n{left_out} more names do not fit: `windlass plan` with the repository lists all.\n"
        ));
    }
    for group in groups(parts)
        .into_iter()
        .filter(|group| group.objects.len() > 1)
    {
        let text = format!(
            "\n<details open><summary>the same in {}</summary>\n\n{}\n\n</details>\n",
            group.objects.len(),
            group.diff
        );
        if out.len() + text.len() + 200 <= room {
            out.push_str(&text);
        }
    }
    out
}

/// Names in one line of the shortest form; more are folded.
const MOST_NAMES: usize = 30;

/// Text in a `code` element, where Markdown is not read.
fn code_element(text: &str) -> String {
    // An empty line would end the element, and what follows would be Markdown.
    format!(
        "<code>{}</code>",
        one_line(text)
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    )
}

fn image_side(image: &Option<ImageRef>) -> String {
    let Some(image) = image else {
        return "—".into();
    };
    let tag = image.tag.as_ref().map(|tag| code(tag.as_str()));
    let digest = image.digest.as_ref().map(|digest| code(digest.short()));
    [tag, digest]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

fn application_view(Part { app, told: all }: &Part<'_>, form: Form, open: bool) -> ApplicationView {
    let changes = all
        .iter()
        .map(|told| change_view(told, form, open))
        .collect();
    let mut happens = counts([&app.plan]);
    let failed = app.plan.problems().count() + usize::from(app.error.is_some());
    if failed > 0 {
        happens.push(format!("**{failed} cannot be applied**"));
    }
    if happens.is_empty() {
        happens.push("nothing changes".into());
    }
    let worst = app
        .plan
        .effective()
        .map(|change| change.proof)
        .max()
        .unwrap_or(Proof::Server);
    ApplicationView {
        title: app.key.title(),
        cluster: code(&app.cluster),
        happens: happens.join(", "),
        proof: if app.error.is_some() {
            "✗ not planned".into()
        } else {
            badge(worst).into()
        },
        error: app.error.as_ref().map(|error| told(error)),
        notes: app.notes.clone(),
        changes,
        buckets: buckets(app),
    }
}

fn badge(proof: Proof) -> &'static str {
    match proof {
        Proof::Server => "✓ server-verified",
        Proof::Simulated => "◐ simulated",
        Proof::Static => "○ static",
    }
}

/// What is worth knowing and is not this pull request's change.
pub(super) fn buckets(app: &ApplicationPreview) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    let mut add = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            buckets.push(Bucket {
                title: format!("{title}: {}", lines.len()),
                lines,
            });
        }
    };
    add("would set back changes by others", drift_lines(&app.drift));
    let waiting = app
        .waiting
        .effective()
        .map(|change| format!("{} {}", change.action.word(), code(&change.key.to_string())));
    add("merged before and waiting to be synced", waiting.collect());
    let all = || app.plan.changes.iter();
    let of = |field: fn(&Change) -> &Fields| {
        all()
            .filter(|change| !field(change).is_empty())
            .map(|change| {
                format!(
                    "{}: {}",
                    code(&change.key.to_string()),
                    holders(field(change))
                )
            })
            .collect::<Vec<_>>()
    };
    add(
        "stays, since others hold it too",
        of(|change| &change.notes.kept),
    );
    add("left to others", of(|change| &change.notes.released));
    let ignored: Vec<_> = all()
        .filter(|change| !change.notes.ignored.is_empty())
        .map(|change| {
            format!(
                "{}: {}",
                code(&change.key.to_string()),
                change
                    .notes
                    .ignored
                    .iter()
                    .map(|path| code(path))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        })
        .collect();
    add("hidden by rules of windlass.yaml", ignored);
    let paths = |field: fn(&Change) -> &Vec<String>| {
        let some = all().filter(|change| !field(change).is_empty());
        some.map(|change| {
            let shown: Vec<_> = field(change)
                .iter()
                .take(8)
                .map(|path| code(path))
                .collect();
            let more = field(change).len().saturating_sub(8);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            format!(
                "{}: {}{more}",
                code(&change.key.to_string()),
                shown.join(", ")
            )
        })
        .collect::<Vec<_>>()
    };
    add("added by admission", paths(|change| &change.notes.admitted));
    add(
        "hidden noise, since it comes out differently each time",
        paths(|change| &change.notes.unstable),
    );
    buckets
}

/// One application, with all that is told of its changes: each form takes from it.
pub(super) struct Part<'a> {
    pub app: &'a ApplicationPreview,
    pub told: Vec<Told<'a>>,
}

/// A change that does something, or cannot.
pub(super) struct Told<'a> {
    pub change: &'a Change,
    pub facts: Vec<String>,
    /// Its difference, and without the equal lines around.
    pub whole: String,
    tight: String,
}

pub(super) fn parts<'a>(preview: &'a Preview) -> Vec<Part<'a>> {
    let part = |app: &'a ApplicationPreview| {
        let mut effects: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for Effect { key, text, .. } in effect::effects(&app.plan) {
            effects.entry(key).or_default().push(text);
        }
        let told = app.plan.effective().map(|change| {
            let [whole, tight] = change.diffs([3, 0]);
            Told {
                change,
                facts: facts(change, effects.remove(&change.key).unwrap_or_default()),
                whole,
                tight,
            }
        });
        Part {
            app,
            told: told.collect(),
        }
    };
    preview.applications.iter().map(part).collect()
}

fn facts(change: &Change, mut facts: Vec<String>) -> Vec<String> {
    let notes = &change.notes;
    if notes.already {
        facts.push("the cluster has it so already: somebody changed it by hand".into());
    }
    if let Some(hook) = &notes.hook {
        facts.push(quoted(hook));
    }
    if let Some(why) = &notes.recreate {
        facts.push(format!(
            "is deleted and created anew, since the server says: {}",
            code(why)
        ));
    }
    if let Some(why) = &notes.unverified {
        facts.push(format!("{}: {}", badge(change.proof), quoted(why)));
    }
    if notes.allotted {
        facts.push("node ports and addresses are allotted by the server when it is applied".into());
    }
    if !notes.taken.is_empty() {
        facts.push(format!("takes {}", holders(&notes.taken)));
    }
    if !notes.adopted.is_empty() {
        let from: Vec<_> = notes.adopted.iter().map(|manager| code(manager)).collect();
        facts.push(format!(
            "adoption: takes over, once, what {} set; what Git does not have of it goes",
            from.join(", ")
        ));
    }
    if !notes.replaced.is_empty() {
        let lists: Vec<_> = notes.replaced.iter().map(|path| code(path)).collect();
        facts.push(format!(
            "the whole list is replaced, with what others put into it: {}",
            lists.join(", ")
        ));
    }
    facts.extend(notes.facts.iter().map(|fact| quoted(fact)));
    facts.extend(
        notes
            .warnings
            .iter()
            .map(|warning| format!("the server warns: {}", code(warning))),
    );
    facts
}

fn change_view(
    Told {
        change,
        facts,
        whole,
        tight,
    }: &Told<'_>,
    form: Form,
    open: bool,
) -> ChangeView {
    let (added, removed) = plan::size(whole);
    let key = code_element(&change.key.to_string());
    let diff = match form {
        _ if change.problem.is_some() || change.before == change.after => None,
        Form::Full => Some(fence(whole)),
        Form::Tight => Some(fence(tight)),
        Form::Grouped | Form::Names => None,
    };
    ChangeView {
        key,
        action: match (&change.problem, change.is_hook()) {
            (Some(_), _) => "cannot be applied".into(),
            (None, true) => "hook runs".into(),
            (None, false) => change.action.word().into(),
        },
        size: if change.problem.is_some() {
            String::new()
        } else {
            format!("+{added} −{removed}")
        },
        open: open || change.problem.is_some(),
        problem: change.problem.as_ref().map(|problem| told(problem)),
        facts: if form == Form::Names {
            Vec::new()
        } else {
            facts.clone()
        },
        diff,
    }
}
