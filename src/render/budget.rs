//! The limits for all renderings of one pull request's head together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::domain::CommitSha;

/// What is left for the renderings of one pull request's head, which may have any number of
/// applications.
#[derive(Debug)]
pub struct Budget {
    /// The head's commit.
    pub(super) head: String,
    /// Milliseconds of run time, and bytes of output.
    time: AtomicU64,
    output: AtomicU64,
}

impl Budget {
    pub fn of(head: &CommitSha) -> Self {
        Self {
            head: head.to_string(),
            time: (3 * 60 * 1000).into(),
            output: (128 << 20).into(),
        }
    }

    /// Deducts a rendering. False: the budget is used up.
    pub(super) fn take(&self, time: Duration, output: usize) -> bool {
        let take = |of: &AtomicU64, amount: u64| {
            of.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                Some(left.saturating_sub(amount))
            })
            .is_ok_and(|left| left > amount)
        };
        let time = take(
            &self.time,
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        );
        take(&self.output, output as u64) && time
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.time.load(Ordering::SeqCst) == 0 || self.output.load(Ordering::SeqCst) == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::render::inputs::{How, Inputs};
    use crate::render::{Programs, Renderer, Runner};

    /// A head may have reached the process that rendered it.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_merged_is_rendered_anew_after_its_preview() {
        let folder = tempfile::tempdir().unwrap();
        let (program, calls) = (folder.path().join("kustomize"), folder.path().join("calls"));
        let script = format!("#!/bin/sh\necho called >> {}\n", calls.display());
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let programs = Programs {
            kustomize: program,
            helm: None,
            warm: None,
            launcher: None,
        };
        let runner = Runner::local(programs, folder.path().join("work")).unwrap();
        let merged = Renderer::new(runner);
        let commit = |digit: &str| digit.repeat(40).parse::<CommitSha>().unwrap();
        let head = merged.within(Budget::of(&commit("a")));
        let other = merged.within(Budget::of(&commit("b")));
        let inputs = Inputs::of_files("app", How::Kustomize, BTreeMap::new(), "hash".into());
        let rendered = async |renderer: &Renderer| {
            renderer.render(&inputs, None).await.unwrap();
            std::fs::read_to_string(&calls).unwrap().lines().count()
        };
        assert_eq!(rendered(&head).await, 1);
        assert_eq!(rendered(&head).await, 1);
        assert_eq!(rendered(&other).await, 2);
        assert_eq!(rendered(&merged).await, 3);
        assert_eq!(rendered(&head.of_merged()).await, 3);
    }
}
