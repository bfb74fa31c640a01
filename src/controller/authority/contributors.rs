//! Everybody who contributed to a pull request: their own approvals of it do not count.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::controller::{Reader, Result};
use crate::domain::approvals::{Contributors, Doubt};
use crate::domain::{CommitSha, PullRequestKey};
use crate::github::{self, Account, PullCommit, PullSnapshot, Push};

/// The most commits of a pull request that GitHub lists.
const MOST_COMMITS: usize = 250;
/// The account of GitHub Actions workflows.
const ACTIONS: &str = "github-actions[bot]";
/// The committer of GitHub's own commits (merges and edits on its pages).
const GITHUB: (&str, &str) = ("web-flow", "noreply@github.com");

/// Everybody who contributed to a pull request: who opened it, the authors and committers of its
/// commits, and whoever pushed one of them, since anybody can commit under another's address.
pub async fn contributors(
    ctx: &Arc<Reader>,
    key: &PullRequestKey,
    snapshot: &PullSnapshot,
) -> Result<Contributors> {
    let pull = &snapshot.pull;
    let bot = ctx.github.identity().await?.login.clone();
    let repository = ctx.github.repository(&key.repo)?;
    if pull.is_fork(repository.id) {
        return Ok(Contributors::Unknown(Doubt::Fork));
    }
    let commits = match ctx.github.commits_of(key).await {
        Ok(commits) => commits,
        Err(error) => return undetermined(error),
    };
    if commits.len() >= MOST_COMMITS {
        return Ok(Contributors::Unknown(Doubt::TooMany {
            commits: commits.len(),
        }));
    }
    let known = KnownAccounts {
        bot: &bot,
        author: pull.author(),
    };
    let mut logins = match known.committers(&commits) {
        Ok(logins) => logins,
        Err(doubt) => return Ok(Contributors::Unknown(doubt)),
    };
    let pushes = match ctx.github.pushes(&key.repo, &pull.head.branch).await {
        Ok(pushes) => pushes,
        Err(error) => return undetermined(error),
    };
    match known.pushers(&pull.head.sha, &commits, &pushes) {
        Ok(pushers) => logins.extend(pushers),
        Err(doubt) => return Ok(Contributors::Unknown(doubt)),
    }
    logins.insert(pull.author().to_string());
    // windlass's bot and GitHub itself are no people.
    logins.remove(&bot);
    logins.remove(GITHUB.0);
    Ok(Contributors::known(logins))
}

/// If the server has no such list, or refuses it, a retry does not help: the writers are unknown,
/// and no approval counts.
fn undetermined(error: github::Error) -> Result<Contributors> {
    match error {
        github::Error::NotFound { .. }
        | github::Error::Refused { .. }
        | github::Error::Unexpected { .. } => Ok(Contributors::Unknown(Doubt::Unanswered {
            why: error.to_string(),
        })),
        other => Err(other.into()),
    }
}

/// The accounts that are known beforehand: windlass's bot, and the author of the pull request.
struct KnownAccounts<'a> {
    bot: &'a str,
    author: &'a str,
}

type Logins = std::result::Result<BTreeSet<String>, Doubt>;

impl KnownAccounts<'_> {
    /// A bot commits for an unknown person: whoever may push a workflow can have it commit. If the
    /// bot itself opened the pull request, it counts as the author; except GitHub Actions, which
    /// runs anybody's workflow.
    fn foreign_bot(&self, account: &Account) -> Option<String> {
        let login = account.login.clone().unwrap_or_default();
        let is_bot = account.kind.as_deref() == Some("Bot") || login.ends_with("[bot]");
        (is_bot && login != self.bot && (login != self.author || login == ACTIONS)).then_some(login)
    }

    /// The authors and committers of commits.
    fn committers(&self, commits: &[PullCommit]) -> Logins {
        let mut logins = BTreeSet::new();
        for commit in commits {
            let people = [
                (&commit.author, &commit.commit.author),
                (&commit.committer, &commit.commit.committer),
            ];
            for (account, person) in people {
                if let Some(login) = account
                    .as_ref()
                    .and_then(|account| self.foreign_bot(account))
                {
                    return Err(Doubt::Bot { login });
                }
                let email = person
                    .as_ref()
                    .map(|person| person.email.as_str())
                    .unwrap_or_default();
                match account.as_ref().and_then(|account| account.login.clone()) {
                    Some(login) => drop(logins.insert(login)),
                    None if email == GITHUB.1 => {}
                    None => {
                        return Err(Doubt::Address {
                            commit: commit.sha.clone(),
                            email: email.into(),
                        });
                    }
                }
            }
        }
        Ok(logins)
    }

    /// Who pushed the commits; the push of the head has to be among the pushes.
    fn pushers(&self, head: &CommitSha, commits: &[PullCommit], pushes: &[Push]) -> Logins {
        let is_of_this = |push: &&Push| {
            commits
                .iter()
                .any(|commit| commit.sha.as_str() == push.after)
        };
        let (mut logins, mut head_is_known) = (BTreeSet::new(), false);
        for push in pushes.iter().filter(is_of_this) {
            if let Some(login) = push
                .actor
                .as_ref()
                .and_then(|actor| self.foreign_bot(actor))
            {
                return Err(Doubt::Bot { login });
            }
            let Some(actor) = push.actor.as_ref().and_then(|actor| actor.login.clone()) else {
                return Err(Doubt::Push { head: head.clone() });
            };
            head_is_known |= push.after == head.as_str();
            logins.insert(actor);
        }
        if head_is_known {
            Ok(logins)
        } else {
            Err(Doubt::Push { head: head.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const KNOWN: KnownAccounts<'_> = KnownAccounts {
        bot: "windlass[bot]",
        author: "ann",
    };

    fn sha(digit: char) -> CommitSha {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn commits(people: &[(Value, &str)]) -> Vec<PullCommit> {
        let commit = |(account, email): &(Value, &str)| {
            let (person, bob) = (json!({"email": email}), json!({"login": "bob"}));
            let value = json!({"sha": sha('a'), "author": account, "committer": bob,
                "commit": {"author": person, "committer": person}});
            serde_json::from_value(value).unwrap()
        };
        people.iter().map(commit).collect()
    }

    fn logins(known: Logins) -> std::result::Result<Vec<String>, Doubt> {
        known.map(|logins| logins.into_iter().collect())
    }

    /// Each row: the author of a commit, and who that makes a writer.
    #[test]
    fn authors_and_committers_are_writers() {
        let bot = |login: &str| {
            Err(Doubt::Bot {
                login: login.into(),
            })
        };
        let both = |login: &str| Ok(vec!["bob".to_string(), login.to_string()]);
        let table = [
            (json!({"login": "eve"}), "", both("eve")),
            (json!({"login": "windlass[bot]"}), "", both("windlass[bot]")),
            (json!({"login": "renovate[bot]"}), "", bot("renovate[bot]")),
            (json!({"login": "ci", "type": "Bot"}), "", bot("ci")),
            (json!({}), GITHUB.1, Ok(vec!["bob".to_string()])),
            (
                Value::Null,
                "eve@example.com",
                Err(Doubt::Address {
                    commit: sha('a'),
                    email: "eve@example.com".into(),
                }),
            ),
        ];
        for (account, email, expected) in table {
            let found = KNOWN.committers(&commits(&[(account.clone(), email)]));
            assert_eq!(logins(found), expected, "{account} {email}");
        }
    }

    /// Each row: the pushes of a branch, and who that makes a writer.
    #[test]
    fn pushers_are_writers() {
        let push = |after: char, actor: Value| -> Push {
            serde_json::from_value(
                json!({"after": sha(after), "actor": actor, "timestamp": "2026-01-01T00:00:00Z"}),
            )
            .unwrap()
        };
        let unknown = Err(Doubt::Push { head: sha('a') });
        let table = [
            (
                vec![push('a', json!({"login": "eve"}))],
                Ok(vec!["eve".to_string()]),
            ),
            (vec![push('b', json!({"login": "eve"}))], unknown.clone()),
            (vec![push('a', Value::Null)], unknown.clone()),
            (
                vec![push('a', json!({"login": ACTIONS}))],
                Err(Doubt::Bot {
                    login: ACTIONS.into(),
                }),
            ),
            (vec![], unknown),
        ];
        let commits = commits(&[(json!({"login": "eve"}), "")]);
        for (row, (pushes, expected)) in table.into_iter().enumerate() {
            let found = KNOWN.pushers(&sha('a'), &commits, &pushes);
            assert_eq!(logins(found), expected, "row {row}");
        }
    }
}
