//! Merging a pull request: the commits of it, by each of the three methods, and what becomes of
//! the pull request. Whether it may be merged is asked elsewhere.

use serde_json::json;

use super::Inner;
use super::git::{commit_tree, git, landed, merge_tree, rebase, web_flow};
use super::state::{MergeMethod, Merged, Pull, Repository, State};

/// How somebody wants a pull request merged.
pub(super) struct Wish<'a> {
    pub method: MergeMethod,
    /// Of the commit; None: GitHub's default. A rebase has neither.
    pub title: Option<String>,
    pub message: Option<String>,
    /// Whose login it is done by.
    pub by: &'a str,
}

impl Inner {
    /// Makes what the base branch is to be moved to, were it at `base`; no branch is moved. None:
    /// there is a conflict.
    pub(super) fn make_merge(
        &self,
        state: &State,
        repo: &Repository,
        pull: &Pull,
        base: &str,
        wish: Wish<'_>,
    ) -> anyhow::Result<Option<String>> {
        let path = self.repository_path(&repo.owner, &repo.name);
        let head = &pull.head.sha;
        if wish.method == MergeMethod::Rebase {
            return rebase(&path, base, head);
        }
        let Some(tree) = merge_tree(&path, base, head) else {
            return Ok(None);
        };
        let squashes = wish.method == MergeMethod::Squash;
        let (title, message) = if squashes {
            self.squash_message(state, repo, pull, base)?
        } else {
            let owner = state
                .by_id(pull.head.repository)
                .map_or("ghost", |repo| repo.owner.as_str());
            let number = pull.number;
            let title = format!(
                "Merge pull request #{number} from {owner}/{}",
                pull.head.branch
            );
            (title, pull.title.clone())
        };
        let title = wish.title.unwrap_or(title);
        let message = wish.message.unwrap_or(message);
        // A squashed commit is by who opened the pull request.
        let author = state.identity(if squashes { &pull.author } else { wish.by });
        let parents = if squashes {
            vec![base]
        } else {
            vec![base, head.as_str()]
        };
        let text = format!("{title}\n\n{message}");
        commit_tree(&path, &tree, &parents, text.trim(), &author, &web_flow()).map(Some)
    }

    /// GitHub's default title and message of a squashed commit: of a single commit its own, of
    /// several the pull request's title and a list of them, with their other authors.
    fn squash_message(
        &self,
        state: &State,
        repo: &Repository,
        pull: &Pull,
        base: &str,
    ) -> anyhow::Result<(String, String)> {
        let path = self.repository_path(&repo.owner, &repo.name);
        let own = state.identity(&pull.author).email;
        let (mut texts, mut others) = (Vec::new(), Vec::new());
        for commit in landed(&path, base, &pull.head.sha)? {
            let facts = git(
                &path,
                &["show", "-s", "--format=%ae%x00%an <%ae>%x00%B", &commit],
            )?;
            let parts: Vec<&str> = facts.splitn(3, '\0').collect();
            let part = |index: usize| parts.get(index).copied().unwrap_or_default().trim();
            texts.push(part(2).to_string());
            let trailer = format!("Co-authored-by: {}", part(1));
            if part(0) != own && !others.contains(&trailer) {
                others.push(trailer);
            }
        }
        let number = pull.number;
        let (title, mut message) = if let [only] = &texts[..] {
            let (title, rest) = only.split_once('\n').unwrap_or((only, ""));
            (format!("{title} (#{number})"), rest.trim().to_string())
        } else {
            let items: Vec<_> = texts.iter().map(|text| format!("* {text}")).collect();
            (format!("{} (#{number})", pull.title), items.join("\n\n"))
        };
        if !others.is_empty() {
            message = format!("{message}\n\n---------\n\n{}", others.join("\n"));
        }
        Ok((title, message.trim().to_string()))
    }

    /// The pull request is merged: its base has been moved to `sha`.
    pub(super) fn close_merged(
        &self,
        repository: u64,
        number: u64,
        head: String,
        sha: &str,
        by: &str,
    ) {
        let mut state = self.state();
        let at = state.now();
        if let Some(pull) = state
            .repository_mut(repository)
            .and_then(|repo| repo.pulls.iter_mut().find(|pull| pull.number == number))
        {
            pull.open = false;
            pull.head.sha = head;
            pull.merged = Some(Merged {
                at,
                by: by.into(),
                sha: sha.into(),
            });
            pull.closed_at = Some(at);
            pull.updated_at = at;
        }
        self.announce_pull(&mut state, repository, number, "closed", by, json!({}));
    }
}
