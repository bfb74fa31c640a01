//! A run of a workflow on GitHub, as its signed token tells of it
//! (docs.github.com/actions/reference/security/oidc), and what it may announce.

use serde::Deserialize;

use crate::domain::catalog::ImageRule;
use crate::domain::{CommitSha, RepoName, wildcard};

/// What starts the runs that may announce images. A pull request is none of it: who opens one decides
/// what its run builds.
const STARTS: [&str; 6] = [
    "push",
    "release",
    "workflow_dispatch",
    "schedule",
    "repository_dispatch",
    "merge_group",
];

/// The claims of a token. `sub` is not read: its form is each organisation's to choose.
#[derive(Debug, Clone, Deserialize)]
pub struct Run {
    /// The token's own number.
    #[serde(rename = "jti")]
    pub id: String,
    /// `owner/name` of today; GitHub sends its number as text.
    pub repository: String,
    repository_id: String,
    /// The commit that it runs on.
    sha: CommitSha,
    /// `refs/heads/main`.
    #[serde(rename = "ref")]
    reference: String,
    event_name: String,
    /// `owner/name/.github/workflows/build.yaml@refs/heads/main`: the workflow whose job this is, also
    /// if another one called it.
    job_workflow_ref: String,
}

impl Run {
    pub fn is_of(&self, repository: &RepoName) -> bool {
        self.repository
            .eq_ignore_ascii_case(&repository.to_string())
    }

    /// Whether it may announce an image that was built from a commit; the error says why not.
    /// `id`: the number of the rule's repository, if the App sees it.
    pub fn may_announce(
        &self,
        rule: &ImageRule,
        commit: &CommitSha,
        id: Option<u64>,
    ) -> Result<(), String> {
        if !self.is_of(&rule.source) {
            return Err(format!("windlass.yaml says that {} may", rule.source));
        }
        // Somebody else may have the name by now.
        if id.is_some_and(|id| id.to_string() != self.repository_id) {
            return Err("another repository has the name than the App sees".into());
        }
        if *commit != self.sha {
            return Err(format!(
                "it runs on commit {}, and the event names {}",
                self.sha.short(),
                commit.short()
            ));
        }
        if !STARTS.contains(&self.event_name.as_str()) {
            return Err(format!(
                "it was started by `{}`; one that pushes, releases, schedules or people start may",
                self.event_name
            ));
        }
        if let Some(workflow) = rule.workflow_pattern()
            && !wildcard(&workflow, &self.job_workflow_ref)
        {
            return Err(format!(
                "it is a job of {}, and windlass.yaml says that {workflow} may",
                self.job_workflow_ref
            ));
        }
        let is_named = |pattern: &String| wildcard(pattern, &self.reference);
        if !rule.refs.is_empty() && !rule.refs.iter().any(is_named) {
            return Err(format!(
                "it runs on {}, and windlass.yaml says that {} may",
                self.reference,
                rule.refs.join(", ")
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(workflow: Option<&str>, refs: &[&str]) -> ImageRule {
        ImageRule {
            image: "ghcr.io/acme/shop".into(),
            source: "acme/shop".parse().unwrap(),
            at: vec![],
            workflow: workflow.map(str::to_string),
            refs: refs.iter().map(ToString::to_string).collect(),
        }
    }

    fn run(claim: &str, value: &str) -> Run {
        let mut claims = json!({
            "jti": "1", "repository": "acme/shop", "repository_id": "7", "sha": "c".repeat(40), "ref": "refs/heads/main",
            "event_name": "push", "job_workflow_ref": "acme/shop/.github/workflows/build.yaml@refs/heads/main",
        });
        claims[claim] = value.into();
        serde_json::from_value(claims).unwrap()
    }

    /// Why runs may not announce, each with the words expected; nothing: it may.
    fn announce(table: &[(&ImageRule, Run, &str)]) {
        let commit = "c".repeat(40).parse().unwrap();
        for (rule, run, expected) in table {
            let why = run.may_announce(rule, &commit, Some(7)).err();
            assert_eq!(why.unwrap_or_default(), *expected);
        }
    }

    #[test]
    fn a_run_announces_what_its_repository_may() {
        let any = rule(None, &[]);
        announce(&[
            (&any, run("ref", "refs/heads/topic"), ""),
            (&any, run("repository", "Acme/Shop"), ""),
            (
                &any,
                run("repository", "evil/shop"),
                "windlass.yaml says that acme/shop may",
            ),
            (
                &any,
                run("repository_id", "8"),
                "another repository has the name than the App sees",
            ),
            (
                &any,
                run("sha", &"d".repeat(40)),
                "it runs on commit dddddddddddd, and the event names cccccccccccc",
            ),
            (
                &any,
                run("event_name", "pull_request"),
                "it was started by `pull_request`; one that pushes, releases, schedules or people start may",
            ),
        ]);
        // Where the App does not see the repository, its name counts.
        let commit = "c".repeat(40).parse().unwrap();
        let unseen = run("repository_id", "8").may_announce(&any, &commit, None);
        assert_eq!(unseen, Ok(()));
    }

    #[test]
    fn an_image_may_be_for_one_workflow_and_for_some_refs() {
        const SAYS: &str = "windlass.yaml says that";
        let job = |job: &str| run("job_workflow_ref", job);
        let main = rule(None, &["refs/heads/main", "refs/tags/v*"]);
        let build = rule(Some(".github/workflows/build.yaml"), &[]);
        let other = "acme/shop/.github/workflows/other.yaml@refs/heads/main";
        let below = "evil/x/acme/shop/.github/workflows/build.yaml@refs/heads/main";
        let image = "acme/ci/.github/workflows/image.yaml";
        let pinned = rule(Some(&format!("{image}@refs/tags/v*")), &[]);
        let is_not =
            |job: &str, pattern: &str| format!("it is a job of {job}, and {SAYS} {pattern} may");
        let of_build = "acme/shop/.github/workflows/build.yaml@*";
        let (tag, branch) = (
            format!("{image}@refs/tags/v3"),
            format!("{image}@refs/heads/x"),
        );
        announce(&[
            (&main, run("ref", "refs/tags/v1.2"), ""),
            (
                &main,
                run("ref", "refs/heads/topic"),
                &format!(
                    "it runs on refs/heads/topic, and {SAYS} refs/heads/main, refs/tags/v* may"
                ),
            ),
            (&build, run("ref", "refs/heads/topic"), ""),
            (&build, job(other), &is_not(other, of_build)),
            (&build, job(below), &is_not(below, of_build)),
            (&pinned, job(&tag), ""),
            (
                &pinned,
                job(&branch),
                &is_not(&branch, &format!("{image}@refs/tags/v*")),
            ),
        ]);
    }
}
