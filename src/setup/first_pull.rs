//! The repositories that the App is installed on, and the first pull request of one: a
//! `windlass.yaml` as `windlass init` writes it.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;

use super::Setup;
use crate::domain::RepoName;
use crate::domain::catalog::{FILE, draft};
use crate::domain::edit::FileEdit;
use crate::domain::fence::{Project, Projects};
use crate::domain::permit::WritePermit;
use crate::git::{Mirrors, Remote};
use crate::github::registration::NewApp;
use crate::github::{AppCredentials, GitHub};
use crate::render::Source;
use crate::view;

/// The branch of the first pull request.
const BRANCH: &str = "windlass/setup";
/// GitHub asks for a second between two writes.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

impl Setup {
    fn github(&self, app: &NewApp, repositories: Vec<RepoName>) -> anyhow::Result<GitHub> {
        let credentials = AppCredentials::new(app.id, app.pem.expose_secret().as_bytes())?;
        let projects = Projects::new(vec![Project::of_one_team(repositories)], "windlass");
        GitHub::new(
            &self.api_url,
            credentials,
            WRITE_INTERVAL,
            projects,
            &self.outgoing,
        )
    }

    /// The repositories that the App is installed on.
    pub(super) async fn repositories(&self, app: &NewApp) -> anyhow::Result<Vec<RepoName>> {
        let github = self.github(app, Vec::new())?;
        github.discover().await?;
        let mut all = github.repositories();
        all.sort();
        Ok(all)
    }

    /// Opens the pull request; its address. None: the repository has the file already.
    pub(super) async fn propose(
        &self,
        app: &NewApp,
        repo: &RepoName,
    ) -> anyhow::Result<Option<String>> {
        let github = self.github(app, vec![repo.clone()])?;
        github.discover().await?;
        let repository = github.repository(repo)?;
        let branch = repository.default_branch.clone();
        let session = github.session_to_fetch(repo).await?;
        let folder = tempfile::tempdir()?;
        let mirrors = Mirrors::new(folder.path().into(), self.outgoing.clone(), NonZeroU32::MIN)?;
        let read = {
            let (repo, branch) = (repo.clone(), branch.clone());
            move || -> anyhow::Result<_> {
                let remote = Remote {
                    url: &repository.clone_url,
                    token: session.token(),
                };
                mirrors.fetch(&repo, &remote, &branch)?;
                let mirror = mirrors.open(&repo, None)?;
                let commit = mirror.branch(&branch)?;
                let commit = commit.with_context(|| {
                    format!("{repo} has no commit yet: push one with your manifests")
                })?;
                let source = Source::open(&mirror, mirror.tree(&commit)?)?;
                if source.text(FILE)?.is_some() {
                    return Ok(None);
                }
                let drafted = draft(&source.contents()?, source.objects()?, &repo)?;
                Ok(Some((commit, drafted)))
            }
        };
        let Some((commit, drafted)) = tokio::task::spawn_blocking(read).await?? else {
            return Ok(None);
        };
        let edits = [FileEdit {
            path: FILE.into(),
            text: Some(drafted.text),
        }];
        let title = format!("Add {FILE}");
        let body = view::first_pull(&drafted.left_out);
        let permit = WritePermit::to_set_up();
        let writer = github.writer(&permit);
        let known = github.pulls_from(repo, BRANCH).await?;
        let number = if let Some(open) = known.iter().find(|pull| pull.is_open()) {
            open.number
        } else if github.branch_head(repo, BRANCH).await?.is_some() {
            // An attempt before came as far as the branch.
            let opened = writer.open_pull(repo, BRANCH, &branch, &title, &body);
            opened.await?.number
        } else {
            let (base, message) = ((branch.as_str(), &commit), (title.as_str(), ""));
            writer
                .propose(repo, BRANCH, base, message, &edits, (&title, &body))
                .await?
        };
        let github = self.args.github.trim_end_matches('/');
        Ok(Some(format!("{github}/{repo}/pull/{number}")))
    }
}
