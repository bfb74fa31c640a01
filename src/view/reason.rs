//! Why an application is where it is, in words.

use crate::domain::approved::{Deviation, DeviationKind, Deviations};
use crate::domain::health::Health;
use crate::domain::hold::Hold;
use crate::domain::sync::{Adoption, Drift, Late, Proposal, Reason, duration_words};

/// Who holds a stage and why.
pub fn held(hold: &Hold) -> String {
    let until = hold.until.map(|until| format!(" (until {until})"));
    format!("{}: {}{}", hold.by, hold.reason, until.unwrap_or_default())
}

/// Empty: there is nothing to say.
pub fn reason(reason: &Reason) -> String {
    match reason {
        Reason::RenderFailed { why } => why.clone(),
        Reason::RendersToNothing => "the directory renders no objects, so nothing is pruned: to retire the application, remove the directory itself".into(),
        Reason::Paused { until } => format!("paused until {until}: `windlass resume` ends it"),
        Reason::Refused(objects) => joined(objects.iter().map(|(key, why)| format!("{key}: {why}")), "\n"),
        Reason::AdoptionRequired(adoption) => adoption_words(adoption),
        Reason::NotAsApproved(deviations) => deviations_words(deviations),
        Reason::WaitsForApplications(titles) => format!("waits for {}", titles.join(", ")),
        Reason::Drift { objects, proposal } => {
            let objects = joined(objects.iter().map(drift), "; ");
            format!("drift is reported, not reverted: {objects}{}", proposal_words(proposal))
        }
        Reason::DriftLoop(objects) => {
            let objects = objects.iter().map(|(key, who)| format!("{key} was reverted, then changed again by {who}"));
            let rule = "windlass does not revert it for now. Stop that change, or add an `ignore` rule for the field to windlass.yaml. `/sync` tries again at once";
            format!("{}: {rule}", joined(objects, "; "))
        }
        Reason::DeletionsWait { health, deletions } => {
            let deletions = deletions.iter().map(|(key, late)| match late {
                Late::Healthy => format!("{key} is deleted once the application is healthy without it"),
                Late::Used { by } => format!("{key} is deleted once {by} does not use it any more"),
                Late::After { what } => format!("{key} is deleted after {what}"),
            });
            // What failed is told first.
            let failed = (!matches!(health.0, Health::Healthy | Health::Suspended)).then(|| health.1.clone());
            joined(failed.into_iter().chain(deletions), "; ")
        }
        Reason::Wave { wave, failed, why } => {
            let what = if *failed { "failed" } else { "is not healthy yet" };
            format!("{}: {why}", wave_words(*wave, what))
        }
        Reason::Applies { writes, of } => format!("applying {writes} of {of} objects"),
        Reason::Health { objects: (health, why), terminating, withheld, .. } => {
            // How many pods are ready changes by the second; that it is waited for does not.
            let why = match health {
                Health::Progressing => format!("waits for {}", why.split(": ").next().unwrap_or_default()),
                _ => why.clone(),
            };
            let own = (!why.is_empty()).then_some(why);
            let terminating = terminating.iter().map(|(key, why)| format!("{key}: {why}"));
            let withheld = withheld.iter().map(|(key, why)| format!("{key} is kept: {why}"));
            joined(own.into_iter().chain(terminating).chain(withheld), "; ")
        }
        Reason::Overdue { limit, reason } => {
            let what = match &**reason {
                // All of it: nothing of what is waited for comes by itself any more.
                Reason::Health { objects: (_, why), terminating, .. } => {
                    let own = (!why.is_empty()).then(|| why.clone());
                    let terminating = terminating.iter().map(|(key, why)| format!("{key}: {why}"));
                    joined(own.into_iter().chain(terminating), "; ")
                }
                other => self::reason(other),
            };
            format!("not healthy {} after it was applied: {what}", duration_words(*limit))
        }
    }
}

fn joined(all: impl Iterator<Item = String>, separator: &str) -> String {
    all.collect::<Vec<_>>().join(separator)
}

fn adoption_words(adoption: &Adoption) -> String {
    match adoption {
        Adoption::OtherCluster { application } => format!(
            "this destination now points to another cluster: `windlass adopt {application}` continues with it"
        ),
        Adoption::Existing {
            application,
            objects,
        } => format!(
            "the first sync would change objects that already exist ({}): `/adopt` in the thread of its pull request, or `windlass adopt {application}`, allows it",
            joined(objects.iter().map(ToString::to_string), ", ")
        ),
    }
}

/// What a sync would do that was not approved, and what to do about it.
fn deviations_words(Deviations { pull_request, all }: &Deviations) -> String {
    let all = joined(all.iter().map(deviation), "; ");
    format!(
        "the cluster changed since #{pull_request} was approved, so nothing is applied: {all}. `/apply` in #{pull_request}, by somebody who may approve, applies it all the same; a revert takes it back"
    )
}

fn deviation(Deviation { key, kind }: &Deviation) -> String {
    match kind {
        DeviationKind::Recreated => format!("{key} would be deleted and created again"),
        DeviationKind::Value {
            field,
            approved,
            now,
        } => format!("{key} would get {field} {now} instead of {approved}"),
    }
}

/// `Deployment a/web: .spec.replicas changed by kubectl-edit`.
fn drift(Drift { key, deleted, by }: &Drift) -> String {
    if *deleted {
        return format!("{key} was deleted");
    }
    let by = by
        .iter()
        .map(|(manager, paths)| format!("{} changed by {manager}", paths.join(", ")));
    match joined(by, ", ") {
        nobody if nobody.is_empty() => format!("{key} differs"),
        by => format!("{key}: {by}"),
    }
}

fn proposal_words(proposal: &Proposal) -> String {
    match proposal {
        Proposal::Open { number } => {
            format!(" (merge #{number} to keep it, or close it to revert it)")
        }
        Proposal::Impossible { why } => format!(" (no pull request can propose it: {why})"),
        Proposal::None | Proposal::Refused => String::new(),
    }
}

/// `wave 2 is not healthy yet`; hooks have no number that anybody wrote.
fn wave_words(wave: i64, what: &str) -> String {
    match wave {
        ..-2_000_000 => format!("a hook that runs before the sync {what}"),
        2_000_000.. => format!("a hook that runs after the sync {what}"),
        wave => format!("wave {wave} {what}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::manifest::ResourceKey;

    fn web() -> ResourceKey {
        ResourceKey {
            group: "apps".into(),
            kind: "Deployment".into(),
            namespace: Some("shop".into()),
            name: "web".into(),
        }
    }

    fn assert_words(table: impl IntoIterator<Item = (Reason, &'static str, &'static str)>) {
        for (told, code, words) in table {
            assert_eq!((told.code(), reason(&told).as_str()), (code, words));
        }
    }

    #[test]
    fn reasons_are_told_in_words_and_have_a_code() {
        assert_words([
            (
                Reason::Refused(vec![(web(), "no".into()), (web(), "never".into())]),
                "Refused",
                "Deployment shop/web: no\nDeployment shop/web: never",
            ),
            (
                Reason::AdoptionRequired(Adoption::Existing {
                    application: "shop/staging".into(),
                    objects: vec![web()],
                }),
                "AdoptionRequired",
                "the first sync would change objects that already exist (Deployment shop/web): `/adopt` in the thread of its pull request, or `windlass adopt shop/staging`, allows it",
            ),
            (
                Reason::Drift {
                    objects: vec![Drift {
                        key: web(),
                        deleted: false,
                        by: vec![("kubectl-edit".into(), vec![".spec.replicas".into()])],
                    }],
                    proposal: Proposal::Open { number: 7 },
                },
                "DriftReported",
                "drift is reported, not reverted: Deployment shop/web: .spec.replicas changed by kubectl-edit (merge #7 to keep it, or close it to revert it)",
            ),
            (
                Reason::DeletionsWait {
                    health: (Health::Degraded, "new crashes".into()),
                    deletions: vec![(web(), Late::Used { by: "Pod a".into() })],
                },
                "DeletionsPending",
                "new crashes; Deployment shop/web is deleted once Pod a does not use it any more",
            ),
            (
                Reason::Wave {
                    wave: 2,
                    failed: true,
                    why: "Job a failed".into(),
                },
                "WaveFailed",
                "wave 2 failed: Job a failed",
            ),
        ]);
    }

    #[test]
    fn health_is_told_with_what_is_waited_for() {
        let health = |health, why: &str, terminating: Vec<(ResourceKey, String)>| Reason::Health {
            health,
            objects: (health, why.into()),
            terminating,
            withheld: vec![],
        };
        assert_words([
            (health(Health::Healthy, "", vec![]), "Healthy", ""),
            (
                health(Health::Progressing, "Deployment web: 1 of 2 ready", vec![]),
                "Progressing",
                "waits for Deployment web",
            ),
            (
                Reason::Overdue {
                    limit: Duration::from_secs(1800),
                    reason: Box::new(health(
                        Health::Progressing,
                        "Deployment web: 1 of 2 ready",
                        vec![(web(), "it is being deleted".into())],
                    )),
                },
                "HealthTimeout",
                "not healthy 30m after it was applied: Deployment web: 1 of 2 ready; Deployment shop/web: it is being deleted",
            ),
        ]);
    }
}
